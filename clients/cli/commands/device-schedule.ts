import { EventEmitter, on } from 'node:events';
import { type Command, Option } from 'commander';
import type { ScheduledResult } from '../../device/index.ts';
import { type Context, duration } from '../context.ts';
import { type Callee, failureOf } from '../exit.ts';
import { print } from '../print.ts';
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
        'processes one makes it. A database to which nothing was written is not uploaded.\nWith --json, ' +
        'one result a line: what `backup upload` prints, {"unchanged": true}, or {"failure"}.',
    )
    .addOption(
      new Option('--every <time>', 'from one to the next, such as 30m or 6h')
        .argParser(duration)
        .default(DAY_MS, '1d'),
    )
    .option('--min-database-age <time>', 'a new database waits until it is this old', duration)
    .option('--jitter <time>', 'each comes later by a random part of this', duration)
    .option('--once', 'end after the first that is due')
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
    for await (const [result] of results) {
      await tell(context, options, result);
      if (!once) continue;
      if (result.outcome === 'failed') throw result.error;
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
  if (result.outcome === 'refused' || (options.once && !options.json)) return;
  const failure = messageOf(result.error, context.callee);
  if (options.json) await print(context, options, '', { failure });
  else context.output.note(`${failure}\nIt is tried again, after longer and longer pauses.`);
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
