import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { type Command, Option } from 'commander';
import { type BackupKey, readKey } from '../sealing/backup-key.ts';
import { usage } from './exit.ts';

/** The options that name what seals a backup. */
export interface KeyOptions {
  readonly keyFile?: string;
  readonly passphraseFile?: string;
  readonly passphrase?: boolean;
  readonly newPassphrase?: boolean;
}

/** The variable that holds a key, for all commands that take one. */
const VARIABLE = 'BACKSCROLL_BACKUP_KEY';

/** Adds the options that name what seals a backup. No secret is one of them: others see arguments. */
export function withKey(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--key-file <file>',
        `the key that seals it: 32 random bytes, or those in hex or base64 (or in ${VARIABLE})`,
      ).conflicts(['passphrase', 'passphraseFile']),
    )
    .addOption(
      new Option(
        '--passphrase-file <file>',
        'the passphrase that seals it: the first line of the file',
      ).conflicts('passphrase'),
    )
    .option('--passphrase', 'ask for the passphrase that seals it');
}

/** What the options, or else the variable, name; undefined where they name nothing. */
export async function keyOf(
  options: KeyOptions,
  signal: AbortSignal,
): Promise<BackupKey | undefined> {
  const { keyFile, passphraseFile, newPassphrase: replaces } = options;
  if (keyFile !== undefined) return readKey(await contentsOf(keyFile));
  if (passphraseFile !== undefined) {
    const [line] = (await contentsOf(passphraseFile)).toString().split(/\r?\n/, 1);
    return { passphrase: line!, replaces };
  }
  if (options.passphrase) return { passphrase: await ask('Passphrase: ', signal), replaces };
  if (replaces) throw usage('--new-passphrase needs --passphrase or --passphrase-file');
  const key = process.env[VARIABLE];
  if (key === '') throw usage(`${VARIABLE} is empty: unset it, or put a key in it`);
  return key === undefined ? undefined : readKey(key);
}

/** As `keyOf`, for what is sealed now: a passphrase is asked for twice, as a slip would lose the backup. */
export async function keyToSeal(
  options: KeyOptions,
  signal: AbortSignal,
): Promise<BackupKey | undefined> {
  const key = await keyOf(options, signal);
  if (options.passphrase && key && 'passphrase' in key) {
    if ((await ask('Once more:  ', signal)) !== key.passphrase) throw usage('The two differ');
  }
  return key;
}

/** Reads a file; what fails names it, as the system does not do of a folder. */
async function contentsOf(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw Object.assign(error as Error, { path });
  }
}

/** Asks on the terminal, and shows nothing of the answer. */
async function ask(question: string, signal: AbortSignal): Promise<string> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw usage('there is no terminal to ask for the passphrase: use --passphrase-file');
  }
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output, terminal: true });
  // A terminal that is read in this way makes no signal of Ctrl-C.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const closed = new Promise<never>((_, reject) => {
    lines.once('close', () => reject(usage('no passphrase was given')));
  });
  closed.catch(() => {});
  process.stderr.write(question);
  try {
    return await Promise.race([lines.question('', { signal }), closed]);
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}
