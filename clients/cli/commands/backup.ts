import { toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { DEFAULT_DATABASE } from '../../backup/backup-client.ts';
import {
  type Backup,
  BackupAgeResponseSchema,
  BackupSchema,
  Pin,
} from '../../gen/backscroll/backup/v1/backup_pb.ts';
import { type Context, positive } from '../context.ts';
import { CliError, Exit, usage } from '../exit.ts';
import { type KeyOptions, keyOf, withKey } from '../key-options.ts';
import { ALL_FIELDS, print } from '../print.ts';
import { inBytes, progressBar } from '../progress.ts';
import { printable, timeOf } from '../readable.ts';
import { type DatabaseOptions, databaseCommand } from './backup-database.ts';
import { addKeeping } from './backup-keep.ts';
import { addRestore } from './backup-restore.ts';
import { addUpload } from './backup-upload.ts';
import { addVerify, stateOf } from './backup-verify.ts';

interface DownloadOptions extends DatabaseOptions, KeyOptions {
  readonly number?: number;
  readonly output?: string;
  readonly force?: boolean;
}

/** Adds `backscroll backup` with its commands. */
export function addBackup(program: Command, context: Context): void {
  const group = program.command('backup').summary('keep and restore SQLite databases');
  group.description("Keeps states of users' SQLite databases, and gives them back.").addHelpText(
    'after',
    `
Examples:
  backscroll backup upload app.db --user alice
  backscroll backup age --user alice
  backscroll backup restore app.db --user alice`,
  );
  addUpload(group, context);
  addRestore(group, context);
  addDownload(group, context);
  addList(group, context);
  addAge(group, context);
  addVerify(group, context);
  addKeeping(group, context);
}

function addDownload(group: Command, context: Context): void {
  withKey(databaseCommand(group, 'download'))
    .summary('write a backup to a file')
    .description(
      'Writes a backup to a file, which appears once it is complete and its digests were checked.',
    )
    .option('-n, --number <number>', 'number of the backup (the newest)', positive)
    .option(
      '-o, --output <file>',
      'file to write (the name of the database); - for standard output',
    )
    .option('-f, --force', 'replace the file if it exists')
    .addHelpText(
      'after',
      `
Examples:
  backscroll backup download --user alice --output restored.db
  backscroll backup download --user alice --number 3 --output - | sha256sum`,
    )
    .action(async (_options, command: Command) => {
      await download(context, command.optsWithGlobals<DownloadOptions>());
    });
}

async function download(context: Context, options: DownloadOptions): Promise<void> {
  const { user, database, number, force: overwrite } = options;
  const output = options.output ?? fileNameOf(database ?? DEFAULT_DATABASE);
  const key = await keyOf(options, context.signal);
  const request = { user, database, number, key, ...context.call(options) };
  const client = context.backup(options);
  if (output === '-') {
    for await (const chunk of await client.download(request)) await context.output.write(chunk);
    return;
  }
  const progress = progressBar('Downloading', inBytes);
  const downloading = client.downloadToFile(output, {
    ...request,
    overwrite,
    onProgress: ({ receivedBytes, sizeBytes }) => progress.update(receivedBytes, sizeBytes),
  });
  const backup = await downloading.finally(progress.stop);
  const text = `Backup ${backup.number} of ${timeOf(backup.createdAtMs)}: ${output}`;
  await print(context, options, text, toJson(BackupSchema, backup, ALL_FIELDS));
}

/** A database's name as a file in the current folder; names may hold anything. */
function fileNameOf(database: string): string {
  if (!/[/\\:]|^\.{0,2}$/.test(database)) return database;
  throw usage(`"${database}" is no name of a file: name one with --output`);
}

function addList(group: Command, context: Context): void {
  databaseCommand(group, 'list')
    .summary('list the backups of a database')
    .description(
      'Lists the backups of a database, newest first: number, time, size, added, state, label.',
    )
    .addHelpText(
      'after',
      `
Examples:
  backscroll backup list --user alice
  backscroll backup list --user alice --json | jq -r .number`,
    )
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<DatabaseOptions>();
      const { user, database } = options;
      const client = context.backup(options);
      let none = true;
      for await (const backup of client.list({ user, database, ...context.call(options) })) {
        none = false;
        await print(context, options, rowOf(backup), toJson(BackupSchema, backup, ALL_FIELDS));
      }
      if (none && !options.json) context.output.note('no backups yet');
    });
}

function rowOf(backup: Backup): string {
  const { number, createdAtMs, sizeBytes, storedBytes, label, pin, warnings } = backup;
  const size = inBytes(Number(sizeBytes)).padStart(10);
  const added = `+${inBytes(Number(storedBytes))}`.padStart(11);
  const row = `${String(number).padStart(6)}  ${timeOf(createdAtMs)} ${size} ${added}`;
  const states = [
    stateOf(backup),
    backup.key && 'sealed',
    pin !== Pin.UNSPECIFIED && 'pinned',
    warnings.length > 0 && 'warning',
  ];
  const state = states.filter(Boolean).join(', ');
  return `${row}  ${state.padEnd(8)}  ${printable(label)}`;
}

function addAge(group: Command, context: Context): void {
  databaseCommand(group, 'age')
    .summary('tell how old the newest backup is')
    .description(
      'Tells how many seconds old the newest backup is that has not failed its verification. Exit ' +
        'code 4 where there is none.',
    )
    .addHelpText(
      'after',
      `
Examples:
  backscroll backup age --user alice
  backscroll backup age --user alice --json | jq -r .ageSeconds`,
    )
    .action(async (_options, command: Command) => {
      await age(context, command.optsWithGlobals<DatabaseOptions>());
    });
}

async function age(context: Context, options: DatabaseOptions): Promise<void> {
  const { user, database } = options;
  const answer = await context.backup(options).age({ user, database, ...context.call(options) });
  const never = answer.ageSeconds < 0;
  if (options.json || !never) {
    const text = `${answer.ageSeconds} s (backup ${answer.newestNumber} of ${timeOf(answer.newestAtMs)})`;
    await print(context, options, text, toJson(BackupAgeResponseSchema, answer, ALL_FIELDS));
  }
  if (never) throw new CliError(Exit.nothing, 'There is no backup of this database');
}
