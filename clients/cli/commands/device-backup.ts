import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { DEFAULT_DATABASE } from '../../backup/backup-client.ts';
import { type Context, nonEmpty } from '../context.ts';
import { usage } from '../exit.ts';
import { print } from '../print.ts';
import { inBytes } from '../progress.ts';
import {
  copyProgress,
  keyToUpload,
  printUploaded,
  type SealingOptions,
  uploadProgress,
  withSealing,
} from './backup-upload.ts';
import { type DeviceOptions, deviceCommand, withDevice } from './device-command.ts';

/** The options of commands on the backups that the service keeps of a device. */
export interface NamedOptions extends DeviceOptions {
  readonly name?: string;
}

interface BackupOptions extends NamedOptions, SealingOptions {
  readonly upload?: boolean;
  readonly label?: string;
}

/** Adds the option that names the backups of a device at the service. */
export function withName(command: Command): Command {
  return command.option(
    '--name <name>',
    `name of its backups at the service (${DEFAULT_DATABASE})`,
    nonEmpty,
  );
}

/** Adds `backscroll device backup`. */
export function addDeviceBackup(group: Command, context: Context): void {
  withSealing(withName(deviceCommand(group, 'backup')))
    .summary('back the database up, to a file or the service')
    .description(
      `Copies the database to a file (${DEFAULT_DATABASE} beside it), which takes the place of an older ` +
        'one in one step; or uploads what changed since the last backup. Programs may go on writing to ' +
        'the database.\nWith --json, {"path", "sizeBytes"}, or with --upload what `backup upload` prints.',
    )
    .argument('[path]', 'file to write')
    .option('--upload', 'upload it to the service instead')
    .option('-l, --label <words>', 'words to find an uploaded backup by')
    .addHelpText(
      'after',
      `
Examples:
  backscroll device backup --user alice
  backscroll device backup /mnt/stick/alice.db --user alice
  backscroll device backup --user alice --upload --key-file backup.key`,
    )
    .action(async (path: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<BackupOptions>();
      if (!options.upload) return toFile(context, path, options);
      if (path !== undefined) throw usage('--upload writes no file: leave the path out');
      return upload(context, options);
    });
}

async function toFile(
  context: Context,
  path: string | undefined,
  options: BackupOptions,
): Promise<void> {
  const { name, label, keyFile, passphraseFile, passphrase } = options;
  if ([name, label, keyFile, passphraseFile, passphrase].some((option) => option !== undefined)) {
    throw usage('--name, --label and keys are for backups of the service: add --upload');
  }
  await withDevice(context, options, { calls: 'backup', existing: true }, async (device) => {
    const { onProgress, stop } = copyProgress();
    const full = await device.backupDatabase(path ?? null, { onProgress }).finally(stop);
    if (full === null) throw device.lastError;
    const { size: sizeBytes } = await stat(full);
    const text = `Backed up to ${full}: ${inBytes(sizeBytes)}`;
    await print(context, options, text, { path: full, sizeBytes });
  });
}

async function upload(context: Context, options: BackupOptions): Promise<void> {
  const { user, name: database, label } = options;
  const key = await keyToUpload(context, options, { user, database });
  await withDevice(context, options, { calls: 'backup', existing: true }, async (device) => {
    const { onProgress, stop } = uploadProgress();
    const uploading = device.uploadBackup({ database, label, key, onProgress });
    await printUploaded(context, options, await uploading.finally(stop));
  });
}

interface AgeOptions extends NamedOptions {
  readonly offline?: boolean;
}

/** Adds `backscroll device age`. */
export function addDeviceAge(group: Command, context: Context): void {
  withName(deviceCommand(group, 'age'))
    .summary('tell how old the database and its backups are')
    .description(
      'Tells how many seconds ago the database was first made, this device last made a backup of it, and ' +
        'the newest backup of its user came to the service.\nWith --json, {"databaseAge", "backupAge", ' +
        '"serverBackupAge"} in seconds: -1 for never, and null for what was not asked.',
    )
    .option('--offline', 'ask no service')
    .addHelpText(
      'after',
      `
Examples:
  backscroll device age --user alice
  backscroll device age --user alice --offline --json | jq .backupAge`,
    )
    .action(async (_options, command: Command) => {
      await age(context, command.optsWithGlobals<AgeOptions>());
    });
}

async function age(context: Context, options: AgeOptions): Promise<void> {
  await withDevice(context, options, { calls: 'backup', existing: true }, async (device) => {
    const ages = {
      databaseAge: device.databaseAge(),
      backupAge: device.backupAge(),
      serverBackupAge: options.offline ? null : await device.serverBackupAge(options.name),
    };
    const rows = [
      ['database, first made', ages.databaseAge],
      ['backup, made here', ages.backupAge],
      ...(ages.serverBackupAge === null ? [] : [['backup, at the service', ages.serverBackupAge]]),
    ] as const;
    const lines = rows.map(([what, seconds]) => {
      return `${what}: ${Number(seconds) < 0 ? 'never' : `${seconds} s ago`}`;
    });
    await print(context, options, lines.join('\n'), ages);
  });
}
