import { create, type JsonValue, toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import {
  type Backup,
  BackupAgeResponseSchema,
  BackupSchema,
  UploadResultSchema,
} from '../../gen/backscroll/backup/v1/backup_pb.ts';
import { type Context, type GlobalOptions, wholeNumber } from '../context.ts';
import { CliError, Exit, usage } from '../exit.ts';
import { inBytes, progressBar } from '../progress.ts';
import { printable, timeOf } from '../readable.ts';

interface Options extends GlobalOptions {
  readonly user: string;
  readonly database?: string;
}

interface UploadOptions extends Options {
  readonly label?: string;
  readonly id?: string;
  readonly opaque?: boolean;
}

interface DownloadOptions extends Options {
  readonly number?: number;
  readonly output?: string;
  readonly force?: boolean;
}

/** Scripts want every field, also those that are 0. */
const ALL_FIELDS = { alwaysEmitImplicit: true };

const DEFAULT_DATABASE = 'backup.db';

/** Adds `backscroll backup` with its commands. */
export function addBackup(program: Command, context: Context): void {
  const group = program.command('backup').summary('keep and restore SQLite databases');
  group.description("Keeps states of users' SQLite databases, and gives them back.");
  addUpload(group, context);
  addDownload(group, context);
  addList(group, context);
  addAge(group, context);
}

function databaseCommand(group: Command, name: string): Command {
  return group
    .command(name)
    .requiredOption('-u, --user <name>', 'whose database it is')
    .option('-d, --database <name>', `name of the database (${DEFAULT_DATABASE})`);
}

function addUpload(group: Command, context: Context): void {
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

function addDownload(group: Command, context: Context): void {
  databaseCommand(group, 'download')
    .summary('restore a database')
    .description(
      'Writes a backup to a file, which appears once it is complete and its digests were checked.',
    )
    .option('-n, --number <number>', 'number of the backup (the newest)', wholeNumber)
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
  const request = { user, database, number, ...context.call(options) };
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
    .description('Lists the backups of a database, newest first: number, time, size, added, label.')
    .addHelpText(
      'after',
      `
Examples:
  backscroll backup list --user alice
  backscroll backup list --user alice --json | jq -r .number`,
    )
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      const { user, database } = options;
      const client = context.backup(options);
      for await (const backup of client.list({ user, database, ...context.call(options) })) {
        await print(context, options, rowOf(backup), toJson(BackupSchema, backup, ALL_FIELDS));
      }
    });
}

function rowOf(backup: Backup): string {
  const { number, createdAtMs, sizeBytes, storedBytes, label } = backup;
  const size = inBytes(Number(sizeBytes)).padStart(10);
  const added = `+${inBytes(Number(storedBytes))}`.padStart(11);
  return `${String(number).padStart(6)}  ${timeOf(createdAtMs)} ${size} ${added}  ${printable(label)}`;
}

function addAge(group: Command, context: Context): void {
  databaseCommand(group, 'age')
    .summary('tell how old the newest backup is')
    .description(
      'Tells how many seconds old the newest backup is. Exit code 4 where there was never one.',
    )
    .addHelpText(
      'after',
      `
Examples:
  backscroll backup age --user alice
  backscroll backup age --user alice --json | jq -r .ageSeconds`,
    )
    .action(async (_options, command: Command) => {
      await age(context, command.optsWithGlobals<Options>());
    });
}

async function age(context: Context, options: Options): Promise<void> {
  const { user, database } = options;
  const answer = await context.backup(options).age({ user, database, ...context.call(options) });
  const never = answer.ageSeconds < 0;
  if (options.json || !never) {
    const text = `${answer.ageSeconds} s (backup ${answer.newestNumber} of ${timeOf(answer.newestAtMs)})`;
    await print(context, options, text, toJson(BackupAgeResponseSchema, answer, ALL_FIELDS));
  }
  if (never) throw new CliError(Exit.nothing, 'There was never a backup of this database');
}

async function print(
  { output }: Context,
  { json }: GlobalOptions,
  text: string,
  value: JsonValue,
): Promise<void> {
  await output.line(json ? JSON.stringify(value) : text);
}
