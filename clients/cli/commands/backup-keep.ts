import { toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import {
  type Backup,
  BackupSchema,
  GetUsageResponseSchema,
  Pin,
  VerificationState,
  Warning,
} from '../../gen/backscroll/backup/v1/backup_pb.ts';
import { type Context, type GlobalOptions, nonEmpty, positive } from '../context.ts';
import { ALL_FIELDS, print } from '../print.ts';
import { inBytes } from '../progress.ts';
import { counted, printable, timeOf } from '../readable.ts';
import { type DatabaseOptions, databaseCommand } from './backup-database.ts';

interface NumberOptions extends DatabaseOptions {
  readonly number: number;
}

/** Adds the commands that show, pin and delete backups. */
export function addKeeping(group: Command, context: Context): void {
  addShow(group, context);
  addPins(group, context);
  addDelete(group, context);
  addDeleteAll(group, context);
  addUsage(group, context);
}

function addShow(group: Command, context: Context): void {
  databaseCommand(group, 'show')
    .summary('show one backup')
    .description('Shows all that is known of one backup.')
    .option('-n, --number <number>', 'number of the backup (the newest)', positive)
    .addHelpText('after', '\nExamples:\n  backscroll backup show --user alice --number 3')
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<DatabaseOptions & Partial<NumberOptions>>();
      const backup = await context.backup(options).get(requestOf(context, options));
      await printBackup(context, options, backup);
    });
}

function addPins(group: Command, context: Context): void {
  numberedCommand(group, 'pin')
    .summary('keep a backup whatever its age')
    .description('Pins a backup: it is kept until it is unpinned, or deleted by hand.')
    .addHelpText('after', '\nExamples:\n  backscroll backup pin --user alice --number 3')
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<NumberOptions>();
      const backup = await context.backup(options).pin(requestOf(context, options));
      await printBackup(context, options, backup);
    });
  numberedCommand(group, 'unpin')
    .summary('let a backup be deleted when it is old')
    .description('Takes the pin of a backup away, also one that the service set.')
    .addHelpText('after', '\nExamples:\n  backscroll backup unpin --user alice --number 3')
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<NumberOptions>();
      const backup = await context.backup(options).unpin(requestOf(context, options));
      await printBackup(context, options, backup);
    });
}

function addDelete(group: Command, context: Context): void {
  numberedCommand(group, 'delete')
    .summary('delete one backup')
    .description('Deletes one backup, for good.')
    .addHelpText('after', '\nExamples:\n  backscroll backup delete --user alice --number 3')
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<NumberOptions>();
      await context.backup(options).delete(requestOf(context, options));
      await print(context, options, `deleted: backup ${options.number}`, { deleted: '1' });
    });
}

function addDeleteAll(group: Command, context: Context): void {
  group
    .command('delete-all')
    .summary('delete all backups of a user or a database')
    .description(
      'Deletes all backups of a user, or of one of their databases, for good. An upload that is under ' +
        'way ends. May be repeated until it succeeds.',
    )
    .requiredOption('-u, --user <name>', 'whose backups to delete')
    .option('-d, --database <name>', 'name of the one database (all of them)', nonEmpty)
    .requiredOption('--yes', 'confirm: nothing of it can be brought back')
    .addHelpText('after', '\nExamples:\n  backscroll backup delete-all --user alice --yes')
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<DatabaseOptions>();
      const { user, database } = options;
      const request = { user, database, ...context.call(options) };
      const deleted = await context.backup(options).deleteAll(request);
      await print(context, options, `deleted: ${deleted} backups`, { deleted: String(deleted) });
    });
}

function addUsage(group: Command, context: Context): void {
  group
    .command('usage')
    .summary("tell what a user's backups take up")
    .description(
      "Tells how many bytes a user's backups take up in the store, and how many they may.",
    )
    .requiredOption('-u, --user <name>', 'whose backups they are')
    .addHelpText('after', '\nExamples:\n  backscroll backup usage --user alice')
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { user: string }>();
      const request = { user: options.user, ...context.call(options) };
      const usage = await context.backup(options).usage(request);
      const { storedBytes, quotaBytes, backups, databases } = usage;
      const most = quotaBytes === 0n ? '' : ` of ${inBytes(Number(quotaBytes))}`;
      const kept = `${counted(backups, 'backup')} of ${counted(databases, 'database')}`;
      const text = `${inBytes(Number(storedBytes))}${most}: ${kept}`;
      await print(context, options, text, toJson(GetUsageResponseSchema, usage, ALL_FIELDS));
    });
}

/** Adds a command on one backup. */
function numberedCommand(group: Command, name: string): Command {
  return databaseCommand(group, name).requiredOption(
    '-n, --number <number>',
    'number of the backup',
    positive,
  );
}

function requestOf<T extends DatabaseOptions>(context: Context, options: T) {
  return { ...options, ...context.call(options) };
}

async function printBackup(
  context: Context,
  options: GlobalOptions,
  backup: Backup,
): Promise<void> {
  await print(context, options, readable(backup), toJson(BackupSchema, backup, ALL_FIELDS));
}

/** All that people want to know of a backup, in some lines. */
function readable(backup: Backup): string {
  const { number, createdAtMs, sizeBytes, storedBytes, label, verification, pin, warnings } =
    backup;
  const added = `${inBytes(Number(sizeBytes))}, of which ${inBytes(Number(storedBytes))} were stored for it`;
  return [
    `backup ${number} of ${timeOf(createdAtMs)}: ${added}`,
    label && `  label: ${printable(label)}`,
    backup.key && `  sealed by a ${backup.key.scrypt ? 'passphrase' : 'key'}`,
    `  verification: ${VERIFICATIONS[verification?.state ?? VerificationState.UNSPECIFIED]}`,
    verification?.detail && `    ${printable(verification.detail)}`,
    PINS[pin],
    ...warnings.map((warning) => `  warning: ${WARNINGS[warning]}`),
  ]
    .filter(Boolean)
    .join('\n');
}

const VERIFICATIONS: Record<VerificationState, string> = {
  [VerificationState.UNSPECIFIED]: 'none yet',
  [VerificationState.PASSED]: 'passed',
  [VerificationState.FAILED]: 'failed',
};

const PINS: Record<Pin, string> = {
  [Pin.UNSPECIFIED]: '',
  [Pin.ASKED]: '  pinned',
  [Pin.BEFORE_WARNING]: '  pinned, because the backup after it has a warning',
};

/** What is strange about a backup, in words. */
export const WARNINGS: Record<Warning, string> = {
  [Warning.UNSPECIFIED]: 'something new',
  [Warning.SHRUNK]: 'less than half as large as the backup before it',
  [Warning.YOUNGER]: 'the database was first made later than the one before it',
};
