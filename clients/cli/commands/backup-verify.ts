import { toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import {
  type Backup,
  BackupSchema,
  VerificationState,
} from '../../gen/backscroll/backup/v1/backup_pb.ts';
import { type Context, positive } from '../context.ts';
import { CliError, Exit } from '../exit.ts';
import { ALL_FIELDS, print } from '../print.ts';
import { printable } from '../readable.ts';
import { type DatabaseOptions, databaseCommand } from './backup-database.ts';

interface VerifyOptions extends DatabaseOptions {
  readonly number?: number;
}

/** Adds `backscroll backup verify`. */
export function addVerify(group: Command, context: Context): void {
  databaseCommand(group, 'verify')
    .summary('check that a backup can be restored')
    .description(
      'Has the service rebuild a backup and check it: its digests, and by SQLite. ' +
        'Exit code 5 where it does not pass.',
    )
    .option('-n, --number <number>', 'number of the backup (the newest)', positive)
    .addHelpText(
      'after',
      `
Examples:
  backscroll backup verify --user alice
  backscroll backup verify --user alice --number 3 --json | jq .verification`,
    )
    .action(async (_options, command: Command) => {
      await verify(context, command.optsWithGlobals<VerifyOptions>());
    });
}

async function verify(context: Context, options: VerifyOptions): Promise<void> {
  const { user, database, number } = options;
  const client = context.backup(options);
  const backup = await client.verify({ user, database, number, ...context.call(options) });
  const text = `Backup ${backup.number}: ${verificationOf(backup)}`;
  await print(context, options, text, toJson(BackupSchema, backup, ALL_FIELDS));
  requirePassed(backup);
}

/** What is known of whether a backup can be restored, in a word; empty for nothing. */
export function stateOf({ verification }: Backup): string {
  if (verification?.state === VerificationState.PASSED) return 'verified';
  return verification?.state === VerificationState.FAILED ? 'failed' : '';
}

/** The same of one that was verified, with the reason. */
export function verificationOf(backup: Backup): string {
  const { reason = '', detail = '' } = backup.verification ?? {};
  return reason === '' ? stateOf(backup) : `${stateOf(backup)}: ${reason}, ${printable(detail)}`;
}

/** Ends the command with exit code 5 where a backup has not passed. */
export function requirePassed({ number, verification }: Backup): void {
  if (verification?.state === VerificationState.PASSED) return;
  throw new CliError(Exit.notSound, `Backup ${number} did not pass its verification`);
}
