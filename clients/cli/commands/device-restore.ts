import { existsSync, rmSync } from 'node:fs';
import type { Command } from 'commander';
import { RESTORE, type RestoreCode } from '../../device/backup/restore-codes.ts';
import { type Context, positive } from '../context.ts';
import { CliError, Exit, usage } from '../exit.ts';
import { type KeyOptions, keyOf, withKey } from '../key-options.ts';
import { print } from '../print.ts';
import { inBytes, progressBar } from '../progress.ts';
import { type NamedOptions, withName } from './device-backup.ts';
import { deviceCommand, withDevice } from './device-command.ts';

interface RestoreOptions extends NamedOptions, KeyOptions {
  readonly latest?: boolean;
  readonly number?: number;
}

type FailureCode = Exclude<RestoreCode, 0>;

/** What each code of a restore that failed means to whoever called the command, and its exit code. */
const FAILURES: Readonly<Record<FailureCode, readonly [exitCode: number, what: string]>> = {
  [RESTORE.noSuchFile]: [Exit.nothing, 'there is no such file'],
  [RESTORE.notADatabase]: [Exit.usage, 'it is no SQLite database, or is encrypted by itself'],
  [RESTORE.damaged]: [Exit.notSound, 'it is damaged: restore an older backup'],
  [RESTORE.notADeviceDatabase]: [Exit.usage, "it is another program's database, or was altered"],
  [RESTORE.wrongOwner]: [Exit.usage, "it is another user's: only that --user can restore it"],
  [RESTORE.newerSchema]: [Exit.usage, 'a newer version of this program made it: update this one'],
  [RESTORE.alreadyStarted]: [Exit.failed, 'the device works by itself: stop it first'],
  [RESTORE.inUse]: [Exit.failed, 'it, or the database, is open in another program: end that first'],
  [RESTORE.diskFull]: [Exit.failed, 'the disk has no room for it: make some'],
  [RESTORE.failed]: [Exit.failed, 'it could not be restored'],
};

/** Codes of which the error tells more. */
const DETAILED: readonly RestoreCode[] = [RESTORE.damaged, RESTORE.inUse, RESTORE.failed];

/** Adds `backscroll device restore`. */
export function addDeviceRestore(group: Command, context: Context): void {
  withKey(withName(deviceCommand(group, 'restore')))
    .summary('put a backup in the place of the database')
    .description(
      'Puts a backup, in a file or of the service, in the place of the database, once it was checked. ' +
        'What was there is kept beside it as ….before-restore; where it fails, all is as it was.\n' +
        'With --json, {"code": 0} with the keptPath, or one of the codes below before the error.',
    )
    .argument('[path]', 'the file')
    .option('--latest', 'restore the newest backup of the service instead')
    .option('-n, --number <number>', 'restore the backup of the service with this number', positive)
    .addHelpText('after', `\n${codesHelp()}`)
    .addHelpText(
      'after',
      `
Examples:
  backscroll device restore backup.db --user alice
  backscroll device restore --user alice --latest
  backscroll device restore --user alice --number 3`,
    )
    .action(async (path: string | undefined, _options, command: Command) => {
      await restore(context, path, command.optsWithGlobals<RestoreOptions>());
    });
}

async function restore(
  context: Context,
  path: string | undefined,
  options: RestoreOptions,
): Promise<void> {
  const { number, name: database } = options;
  refuseAmbiguous(path, options);
  const key = path === undefined ? await keyOf(options, context.signal) : undefined;
  const isNew = !existsSync(options.database);
  const restoring = withDevice(context, options, { calls: 'backup' }, async (device, signal) => {
    const progress = progressBar('Downloading', inBytes);
    const code = await (path === undefined
      ? device.restoreLatest({
          ...{ database, number, key },
          onProgress: ({ receivedBytes, sizeBytes }) => progress.update(receivedBytes, sizeBytes),
        })
      : device.restoreDatabase(path)
    ).finally(progress.stop);
    signal.throwIfAborted();
    if (code === RESTORE.done || options.json) {
      const { keptPath } = device;
      const kept = keptPath === undefined ? '' : `; what was there is kept as ${keptPath}`;
      const told = { code, ...(keptPath !== undefined && { keptPath }) };
      await print(context, options, `The backup is the database now${kept}`, told);
    }
    const backup = path ?? (number === undefined ? 'the newest backup' : `backup ${number}`);
    if (code !== RESTORE.done) throw failure(backup, code, device.lastError);
  });
  try {
    await restoring;
  } catch (error) {
    if (isNew) await removeUnused(options.database);
    throw error;
  }
}

function refuseAmbiguous(path: string | undefined, options: RestoreOptions): void {
  const { latest, number, name, keyFile, passphraseFile, passphrase } = options;
  const given = (option: unknown) => option !== undefined;
  if ([path, latest, number].filter(given).length !== 1) {
    throw usage('name a file, or say --latest or --number: one of them');
  }
  if (given(path) && [name, keyFile, passphraseFile, passphrase].some(given)) {
    throw usage('--name and keys are for backups of the service: say --latest or --number');
  }
}

/** Removes the database that was made for a restore that failed, unless it has been used meanwhile. */
async function removeUnused(database: string): Promise<void> {
  if (!existsSync(database)) return;
  const { Sqlite } = await import('../../device/local/sqlite.ts');
  try {
    using sqlite = new Sqlite(database);
    // Fails where another process has it open.
    sqlite.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    const writes = sqlite.get("SELECT value FROM device WHERE name = 'writes'")?.value;
    // With its last connection its WAL goes.
    sqlite.close();
    if (writes === 0) rmSync(database);
  } catch {
    // It stays: what the restore failed with matters more.
  }
}

function failure(backup: string, code: FailureCode, error: Error | undefined): CliError {
  const [exitCode, what] = FAILURES[code];
  const detail = DETAILED.includes(code) ? `\n${error?.message}` : '';
  return new CliError(exitCode, `${backup}: ${what} (${code})${detail}`);
}

function codesHelp(): string {
  const rows = Object.values(RESTORE).flatMap((code) => {
    if (code === RESTORE.done) return [];
    const [exitCode, what] = FAILURES[code];
    return [`  ${String(code).padStart(3)}  ${what}; exit code ${exitCode}`];
  });
  return ['Codes:', ...rows].join('\n');
}
