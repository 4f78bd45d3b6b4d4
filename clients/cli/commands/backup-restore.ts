import { toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { type Restored, restore } from '../../backup/restore.ts';
import { BackupSchema } from '../../gen/backscroll/backup/v1/backup_pb.ts';
import { type Context, positive } from '../context.ts';
import { type KeyOptions, keyOf, withKey } from '../key-options.ts';
import { ALL_FIELDS, print } from '../print.ts';
import { inBytes, progressBar } from '../progress.ts';
import { timeOf } from '../readable.ts';
import { type DatabaseOptions, databaseCommand } from './backup-database.ts';

interface RestoreOptions extends DatabaseOptions, KeyOptions {
  readonly number?: number;
  readonly dryRun?: boolean;
}

/** Adds `backscroll backup restore`. */
export function addRestore(group: Command, context: Context): void {
  withKey(databaseCommand(group, 'restore'))
    .summary('put a backup in the place of a database')
    .description(
      'Puts a backup in the place of a database, once it is downloaded and was checked. ' +
        'What was there is kept beside it; a database that another program has open is refused.',
    )
    .argument('<file>', 'the database, which need not exist')
    .option('-n, --number <number>', 'number of the backup (the newest)', positive)
    .option('--dry-run', 'download and check, and tell what would be done')
    .addHelpText(
      'after',
      `
Examples:
  backscroll backup restore app.db --user alice --dry-run
  backscroll backup restore app.db --user alice --number 3`,
    )
    .action(async (file: string, _options, command: Command) => {
      await restoreTo(context, file, command.optsWithGlobals<RestoreOptions>());
    });
}

async function restoreTo(context: Context, file: string, options: RestoreOptions): Promise<void> {
  const { user, database, number, dryRun = false } = options;
  const key = await keyOf(options, context.signal);
  const progress = progressBar('Downloading', inBytes);
  const restoring = restore(context.backup(options), file, {
    ...context.call(options),
    ...{ user, database, number, key, dryRun },
    onProgress: ({ receivedBytes, sizeBytes }) => progress.update(receivedBytes, sizeBytes),
  });
  const restored = await restoring.finally(progress.stop);
  const { backup, checked, keptPath } = restored;
  await print(context, options, textOf(file, restored, dryRun), {
    ...{ path: file, keptPath: keptPath ?? null, checked, dryRun },
    backup: toJson(BackupSchema, backup, ALL_FIELDS),
  });
}

function textOf(file: string, { backup, checked, keptPath }: Restored, dryRun: boolean): string {
  const [is, keeps] = dryRun ? ['would be', 'would be kept'] : ['is', 'is kept'];
  const known = checked ? 'it is whole' : 'its digests are right; SQLite did not check it';
  const kept = keptPath === undefined ? '' : `\nWhat was there ${keeps} as ${keptPath}`;
  return `Backup ${backup.number} of ${timeOf(backup.createdAtMs)} ${is} ${file}: ${known}${kept}`;
}
