import { create, toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { UploadResultSchema } from '../../gen/backscroll/backup/v1/backup_pb.ts';
import type { Context } from '../context.ts';
import { inBytes, progressBar } from '../progress.ts';
import { ALL_FIELDS, type DatabaseOptions, databaseCommand, print } from './backup-database.ts';

interface UploadOptions extends DatabaseOptions {
  readonly label?: string;
  readonly id?: string;
  readonly opaque?: boolean;
}

/** Adds `backscroll backup upload`. */
export function addUpload(group: Command, context: Context): void {
  databaseCommand(group, 'upload')
    .summary('upload a database')
    .description(
      'Uploads a SQLite database as its newest backup; what did not change is not stored again.\n' +
        'The database must be closed, or a copy: one with a WAL beside it is refused.',
    )
    .argument('<file>', 'the database')
    .option('-l, --label <words>', 'words to find the backup by, such as the name of the device')
    .option('--id <id>', 'idempotency key: repeating the command with it adds nothing')
    .option('--opaque', 'the database is encrypted by itself, as by SQLCipher')
    .addHelpText(
      'after',
      `
Examples:
  backscroll backup upload app.db --user alice
  sqlite3 live.db "VACUUM INTO 'copy.db'" && backscroll backup upload copy.db --user alice`,
    )
    .action(async (file: string, _options, command: Command) => {
      await upload(context, file, command.optsWithGlobals<UploadOptions>());
    });
}

async function upload(context: Context, file: string, options: UploadOptions): Promise<void> {
  const { user, database, label, id, opaque } = options;
  const progress = progressBar('Uploading', inBytes);
  const uploading = context.backup(options).upload(file, {
    ...context.call(options),
    ...{ user, database, label, opaque, uploadId: id },
    onProgress: ({ sentBytes, sizeBytes }) => progress.update(sentBytes, sizeBytes),
  });
  const { backup, unchanged, repeated } = await uploading.finally(progress.stop);
  const what = unchanged ? 'nothing had changed' : `${inBytes(Number(backup.storedBytes))} stored`;
  const text = `Backup ${backup.number}: ${inBytes(Number(backup.sizeBytes))}, ${what}`;
  const result = create(UploadResultSchema, { backup, unchanged, repeated });
  await print(context, options, text, toJson(UploadResultSchema, result, ALL_FIELDS));
}
