import { EventEmitter, on } from 'node:events';
import { type Command, Option } from 'commander';
import type { ScheduledResult } from '../../device/index.ts';
import { type Context, duration } from '../context.ts';
import { type Callee, CliError, Exit, failureOf } from '../exit.ts';
import { print } from '../print.ts';
import { timeOf } from '../readable.ts';
import {
  keyToUpload,
  printUploaded,
  type SealingOptions,
  uploadProgress,
  withSealing,
} from './backup-upload.ts';
import { type NamedOptions, withName } from './device-backup.ts';
import { deviceCommand, withDevice } from './device-command.ts';

interface ScheduleOptions extends NamedOptions, SealingOptions {
  readonly label?: string;
  readonly every: number;
  readonly minDatabaseAge?: number;
  readonly jitter?: number;
  readonly once?: boolean;
}

const DAY_MS = 86_400_000;

/** Adds `backscroll device schedule`. */
export function addDeviceSchedule(group: Command, context: Context): void {
  withSealing(withName(deviceCommand(group, 'schedule')))
    .summary('upload backups on a schedule')
    .description(
      'Uploads backups when they are due, until it is interrupted, and sends what waits in the outbox. ' +
        'When the next one is due is kept beside the database: a restart changes nothing, and of several ' +
        'processes one makes it. A database to which nothing was written is not uploaded, nor a new one, ' +
        'before it is old enough for its first backup: a phone that is to be restored must not upload its ' +
        'few messages as the newest backup.\nWith --json, one result a line: what `backup upload` prints, ' +
        '{"unchanged": true}, {"tooYoung": true, "leftMs"}, or {"failure"}.',
    )
    .addOption(
      new Option('--every <time>', 'from one to the next, such as 30m or 6h')
        .argParser(duration)
        .default(DAY_MS, '1d'),
    )
    .option(
      '--min-database-age <time>',
      'a new database has its first backup when it is this old (as --every); 0s: at once',
      duration,
    )
    .option('--jitter <time>', 'each comes later by a random part of this', duration)
    .option(
      '--once',
      'end after the first that is due; with exit code 4 where the database is too young',
    )
    .option('-l, --label <words>', 'words to find the backups by')
    .addHelpText(
      'after',
      `
Examples:
  backscroll device schedule --user alice --every 6h --jitter 10m
  backscroll device schedule --user alice --once`,
    )
    .action(async (_options, command: Command) => {
      await schedule(context, command.optsWithGlobals<ScheduleOptions>());
    });
}

async function schedule(context: Context, options: ScheduleOptions): Promise<void> {
  const { user, name: database, label, every, minDatabaseAge, jitter, once } = options;
  const key = await keyToUpload(context, options, { user, database });
  const use = { calls: 'backup', existing: true } as const;
  await withDevice(context, options, use, async (device, signal) => {
    const told = new EventEmitter<{ result: [ScheduledResult] }>();
    const results = on(told, 'result', { signal }) as AsyncIterable<[ScheduledResult]>;
    let progress: ReturnType<typeof uploadProgress> | undefined;
    device.scheduleBackups({
      ...{ every, minDatabaseAge, jitter },
      upload: {
        ...{ database, label, key },
        onProgress: (soFar) => {
          progress ??= uploadProgress();
          progress.onProgress(soFar);
        },
      },
      onResult: (result) => {
        progress?.stop();
        progress = undefined;
        told.emit('result', result);
      },
    });
    device.on('problem', noteOnce(context, options));
    device.start();
    let before: ScheduledResult['outcome'] | undefined;
    for await (const [result] of results) {
      const { outcome } = result;
      // It is told every minute.
      if (outcome !== 'too-young' || before !== outcome) await tell(context, options, result);
      before = outcome;
      if (!once) continue;
      if (outcome === 'failed') throw result.error;
      if (outcome === 'too-young') throw new CliError(Exit.nothing, untilWhen(result.leftMs));
      return;
    }
  });
}

async function tell(
  context: Context,
  options: ScheduleOptions,
  result: ScheduledResult,
): Promise<void> {
  if (result.outcome === 'uploaded') return printUploaded(context, options, result.uploaded);
  if (result.outcome === 'unchanged') {
    const text = 'nothing was written to the database since the last backup';
    return print(context, options, text, { unchanged: true });
  }
  // With `once`, what it ends with says it.
  if (result.outcome === 'refused' || (options.once && !options.json)) return;
  if (result.outcome === 'too-young') {
    const { leftMs } = result;
    return print(context, options, untilWhen(leftMs), { tooYoung: true, leftMs });
  }
  const failure = messageOf(result.error, context.callee);
  if (options.json) await print(context, options, '', { failure });
  else context.output.note(`${failure}\nIt is tried again, after longer and longer pauses.`);
}

function untilWhen(leftMs: number): string {
  const when = timeOf(Date.now() + leftMs);
  return `the database is new: its first backup is made after ${when}, or at once with --min-database-age 0s`;
}

/** Notes what the outbox can't be sent for, as long as it is the same once. */
function noteOnce({ output }: Context, { history: address }: ScheduleOptions) {
  let noted: string | undefined;
  return (error: unknown): void => {
    const message = messageOf(error, { name: 'history', address });
    if (message !== noted) output.note(message);
    noted = message;
  };
}

function messageOf(error: unknown, callee: Callee | undefined): string {
  return failureOf(error, callee).message ?? 'interrupted';
}
