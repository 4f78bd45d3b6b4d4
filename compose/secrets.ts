/**
 * Makes the secrets of a Compose deployment: random ones, once. A file that is there already is
 * kept, so later starts change nothing, and a secret of one's own is a file put there beforehand.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

/** Writes whole or not at all: a start that is killed leaves no half a password behind. */
function write(path: string, text: string): void {
  // Readable by all users: only the containers that need the file mount its volume.
  writeFileSync(`${path}.new`, text, { flush: true });
  renameSync(`${path}.new`, path);
}

/** The secret in a file of /secrets; made where it is missing, and never changed. */
function secret(name: string): string {
  const path = `/secrets/${name}`;
  if (!existsSync(path)) {
    write(path, randomBytes(24).toString('base64url'));
    console.log(`made ${name}`);
  }
  return readFileSync(path, 'utf8').trim();
}

secret('mysql/root-password');
secret('minio/root-user');
secret('minio/root-password');

// Follows from the password, so it is written anew at every start.
const password = encodeURIComponent(secret('mysql/password'));
write('/secrets/history/database-url', `mysql://backscroll:${password}@mysql:3306/backscroll`);
