import { create, type JsonObject, toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { noneIfNotFound } from '../../backup/backup-client.ts';
import { type Snapshot, snapshot } from '../../backup/snapshot.ts';
import type { CopyProgress } from '../../backup/sqlite-process.ts';
import type { Uploaded, UploadProgress } from '../../backup/upload.ts';
import { UploadResultSchema } from '../../gen/backscroll/backup/v1/backup_pb.ts';
import type { BackupKey } from '../../sealing/backup-key.ts';
import { type Context, type GlobalOptions, time } from '../context.ts';
import { usage } from '../exit.ts';
import { type KeyOptions, keyToSeal, withKey } from '../key-options.ts';
import { ALL_FIELDS, print } from '../print.ts';
import { inBytes, progressBar } from '../progress.ts';
import { type DatabaseOptions, databaseCommand } from './backup-database.ts';
import { WARNINGS } from './backup-keep.ts';
import { requirePassed, verificationOf } from './backup-verify.ts';

/** The options that say whether what is uploaded is sealed, and by what. */
export interface SealingOptions extends GlobalOptions, KeyOptions {
  readonly plain?: boolean;
}

/** Adds the options that say whether what is uploaded is sealed, and by what. */
export function withSealing(command: Command): Command {
  return withKey(command)
    .option('--new-passphrase', 'the newest backup may have another passphrase')
    .option('--plain', 'seal nothing, although the newest backup is sealed');
}

interface UploadOptions extends DatabaseOptions, SealingOptions {
  readonly label?: string;
  readonly id?: string;
  readonly created?: number;
  readonly opaque?: boolean;
  readonly verify?: boolean;
  readonly raw?: boolean;
  readonly temp?: string;
}

/** Adds `backscroll backup upload`. */
export function addUpload(group: Command, context: Context): void {
  withSealing(databaseCommand(group, 'upload'))
    .summary('upload a database')
    .description(
      'Uploads a SQLite database as its newest backup; what did not change is not stored again. ' +
        'Programs may be writing to it: a snapshot is made beside it first, uploaded, and removed.',
    )
    .argument('<file>', 'the database')
    .option('-l, --label <words>', 'words to find the backup by, such as the name of the device')
    .option('--id <id>', 'idempotency key: repeating the command with it adds nothing')
    .option('--created <time>', 'when the database was first made, such as 2026-01-31', time)
    .option('--temp <folder>', 'where the snapshot is made (the folder of the database)')
    .option('--raw', 'upload the file as it is; refused where a WAL or a journal has a part of it')
    .option('--verify', 'wait until the backup was verified; exit code 5 where it does not pass')
    .option('--opaque', 'the database is encrypted by itself, as by SQLCipher; as with --raw')
    .addHelpText(
      'after',
      `
Examples:
  backscroll backup upload app.db --user alice
  backscroll backup upload app.db --user alice --key-file backup.key
  backscroll backup upload app.db --user alice --temp /var/tmp --label phone
  backscroll backup upload closed.db --user alice --raw`,
    )
    .action(async (file: string, _options, command: Command) => {
      const options = command.optsWithGlobals<UploadOptions>();
      const key = await keyToUpload(context, options, options);
      if (options.raw || options.opaque) return uploadFile(context, file, options, key);
      await using copy = await copyOf(context, file, options);
      await uploadFile(context, copy.path, options, key);
    });
}

/**
 * The key that the options name. Where they name none, they must say so if the newest backup is sealed:
 * a key that was forgotten once must not put in the clear what was sealed until then.
 */
export async function keyToUpload(
  context: Context,
  options: SealingOptions,
  { user, database }: { readonly user: string; readonly database?: string | undefined },
): Promise<BackupKey | undefined> {
  const key = await keyToSeal(options, context.signal);
  if (key !== undefined || options.plain) return key;
  const client = context.backup(options);
  const newest = await client
    .get({ user, database, ...context.call(options) })
    .catch(noneIfNotFound);
  if (newest?.key === undefined) return undefined;
  throw usage(
    `backup ${newest.number} is sealed: name its key by --key-file, --passphrase-file or ` +
      '--passphrase, or upload in the clear by --plain',
  );
}

async function copyOf(context: Context, file: string, { temp }: UploadOptions): Promise<Snapshot> {
  const { onProgress, stop } = copyProgress();
  const copying = snapshot(file, { folder: temp, signal: context.signal, onProgress });
  return copying.finally(stop);
}

/** A bar that shows how far a copy is. */
export function copyProgress() {
  const { update, stop } = progressBar('Copying', inBytes);
  const onProgress = ({ copiedBytes, sizeBytes }: CopyProgress) => update(copiedBytes, sizeBytes);
  return { onProgress, stop };
}

async function uploadFile(
  context: Context,
  file: string,
  options: UploadOptions,
  key: BackupKey | undefined,
): Promise<void> {
  const { user, database, label, id, opaque, verify: waitForVerification } = options;
  const databaseCreatedAtMs = options.created;
  const { onProgress, stop } = uploadProgress();
  const uploading = context.backup(options).upload(file, {
    ...context.call(options),
    ...{ user, database, label, opaque, key, uploadId: id, waitForVerification },
    ...{ databaseCreatedAtMs, onProgress },
  });
  const uploaded = await uploading.finally(stop);
  const verified = waitForVerification ? `, ${verificationOf(uploaded.backup)}` : '';
  await printUploaded(context, options, uploaded, verified);
  if (waitForVerification) requirePassed(uploaded.backup);
}

/** A bar that shows how far an upload is. */
export function uploadProgress() {
  const { update, note, stop } = progressBar('Uploading', inBytes);
  const onProgress = ({ sentBytes, skippedBytes, sizeBytes }: UploadProgress) => {
    update(sentBytes + skippedBytes, sizeBytes);
    note(`${inBytes(sentBytes)} sent, ${inBytes(skippedBytes)} unchanged`);
  };
  return { onProgress, stop };
}

/** Prints what an upload came to, with its warnings. */
export async function printUploaded(
  context: Context,
  options: GlobalOptions,
  uploaded: Uploaded,
  verified = '',
): Promise<void> {
  await print(context, options, `${uploadedText(uploaded)}${verified}`, uploadedJson(uploaded));
  for (const warning of uploaded.backup.warnings) {
    context.output.note(`warning: ${WARNINGS[warning]}, which is pinned`);
  }
}

function uploadedText({ backup, unchanged, sentBytes }: Uploaded): string {
  const stored = `${inBytes(sentBytes)} sent, ${inBytes(Number(backup.storedBytes))} stored`;
  const what = unchanged ? 'nothing had changed' : stored;
  return `Backup ${backup.number}: ${inBytes(Number(backup.sizeBytes))}, ${what}`;
}

function uploadedJson({ sentBytes, ...uploaded }: Uploaded): JsonObject {
  const result = create(UploadResultSchema, uploaded);
  const json = toJson(UploadResultSchema, result, ALL_FIELDS) as JsonObject;
  return { ...json, sentBytes: String(sentBytes) };
}
