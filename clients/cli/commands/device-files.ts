import type { Command } from 'commander';
import type { Device, FileRequest, FileState, LocalMessage } from '../../device/index.ts';
import { type Context, positive } from '../context.ts';
import { CliError, Exit, isUnreachable } from '../exit.ts';
import { inBytes, progressBar } from '../progress.ts';
import { printable } from '../readable.ts';
import {
  type DeviceConversationOptions,
  deviceConversationCommand,
  nameOf,
  withDevice,
} from './device-command.ts';
import {
  endOf,
  type Paged,
  type PageOptions,
  printPages,
  readPage,
  resultLine,
  withPages,
} from './device-pages.ts';

interface FilesOptions extends DeviceConversationOptions, PageOptions {
  readonly fetch?: boolean;
  readonly atOnce: number;
}

/** A file that a message carries. */
interface Carried {
  readonly message: LocalMessage;
  readonly position: number;
  readonly name: string;
  readonly url: string;
}

/** Messages that are looked through at once for one of them. */
const FAR = 500;

/** Adds `backscroll device files`. */
export function addDeviceFiles(group: Command, context: Context): void {
  withPages(deviceConversationCommand(group, 'files'))
    .summary("list the files of a conversation's messages, or fetch them")
    .description(
      'Lists the files that messages of a conversation carry, those of the newest first: seq of the ' +
        'message, position in it, what became of the file, its size and its name, or its path where it ' +
        'is present. With --fetch, fetches those that are absent, a few at a time, and goes on where a ' +
        'fetch broke off.\nWith --json, one file a line (peer or group, seq, position, state, ' +
        'receivedBytes, sizeBytes, name, url, and what it has of path, reason), and without a seq then a ' +
        'line {"result": {"count", "reachedEnd", "lacking"}}.',
    )
    .argument('[seq]', 'of this message alone', positive)
    .option('--fetch', 'fetch what is absent')
    .option('--at-once <number>', 'how many are fetched at once', positive, 3)
    .addHelpText(
      'after',
      `
Examples:
  backscroll device files --user alice --peer bob
  backscroll device files 12 --user alice --peer bob --fetch
  backscroll device files --user alice --peer bob --fetch --all --at-once 2`,
    )
    .action(async (seq: number | undefined, _options, command: Command) => {
      await files(context, seq, command.optsWithGlobals<FilesOptions>());
    });
}

async function files(
  context: Context,
  seq: number | undefined,
  options: FilesOptions,
): Promise<void> {
  const { fetch, offline, atOnce, json } = options;
  const { output } = context;
  const conversation = nameOf(options);
  // Nothing is fetched but what is asked for.
  const decide = ({ priority }: FileRequest) => (priority === 'asked' ? 'now' : 'later');
  const transfers = { maxTransfers: atOnce, decide };
  const use = { calls: 'history', existing: offline, files: transfers } as const;
  await withDevice(context, options, use, async (device, signal) => {
    const read: LocalMessage[] = [];
    const session = device.readSession(
      { ...conversation, kinds: ['file'], acrossHoles: offline },
      (message) => read.push(message),
    );
    const failures: unknown[] = [];
    const print = async () => {
      const carried = read.splice(0).flatMap(carriedBy);
      const states = fetch
        ? await fetched(device, carried, failures)
        : carried.map(({ message, position }) => device.file(message, position));
      signal.throwIfAborted();
      const lines = states.map((state, n) => lineOf(carried[n]!, state, json));
      await output.write(lines.join(''));
    };
    if (seq !== undefined) {
      await readOne(session, read, seq, offline);
      await print();
    } else {
      const result = await printPages(context, options, session, print);
      if (json) await output.line(resultLine(result));
      else
        output.note(endOf(result, result.count === 0 ? 'no messages with files' : 'these are all'));
    }
    if (failures.length > 0) throw notFetched(failures);
  });
}

function carriedBy(message: LocalMessage): Carried[] {
  const files = message.content?.files ?? [];
  return files.map(({ name, url }, position) => ({ message, position, name, url }));
}

/** Leaves the message with a seq as the only one that was read. */
async function readOne(
  session: Paged,
  read: LocalMessage[],
  seq: number,
  offline: boolean | undefined,
): Promise<void> {
  for (let found: LocalMessage | undefined; ; ) {
    const { isLast } = await readPage(session, FAR, offline);
    found = read.find((message) => message.seq === seq);
    const isPast = isLast || (read.at(-1)?.seq ?? 0) < seq;
    read.splice(0, Infinity, ...(found ? [found] : []));
    if (found) return;
    if (isPast) throw new CliError(Exit.nothing, `No message ${seq} with files is known`);
  }
}

/** Fetches files, some at once; gives what became of them. */
function fetched(
  device: Device,
  carried: readonly Carried[],
  failures: unknown[],
): Promise<FileState[]> {
  const progress = progressBar('Fetching', inBytes);
  const last = new Map<string, readonly [receivedBytes: number, sizeBytes: number]>();
  let [cameBytes, allBytes] = [0, 0];
  const onFile = ({ seq, position, receivedBytes, sizeBytes }: FileState) => {
    const key = `${seq} ${position}`;
    const [cameBefore, sizeBefore] = last.get(key) ?? [0, 0];
    const size = Math.max(sizeBytes, receivedBytes);
    last.set(key, [receivedBytes, size]);
    cameBytes += receivedBytes - cameBefore;
    allBytes += size - sizeBefore;
    progress.update(cameBytes, allBytes);
  };
  device.on('file', onFile);
  const fetching = carried.map(({ message, position }) =>
    device.fetchFile(message, position).catch((error: unknown) => {
      failures.push(error);
      return device.file(message, position);
    }),
  );
  return Promise.all(fetching).finally(() => {
    device.off('file', onFile);
    progress.stop();
  });
}

function lineOf({ name, url }: Carried, state: FileState, json: boolean | undefined): string {
  const { conversation, ...rest } = state;
  if (json) return `${JSON.stringify({ ...conversation, ...rest, name, url })}\n`;
  const { seq, position, path, sizeBytes, reason } = state;
  const size = sizeBytes > 0 ? inBytes(sizeBytes) : '?';
  const why = reason === undefined ? '' : ` (${reason})`;
  const head = `${seq ?? '-'} ${position} ${state.state.padEnd(8)} ${size.padStart(10)}`;
  return `${head}  ${path ?? printable(name || url)}${why}\n`;
}

function notFetched(failures: readonly unknown[]): CliError {
  const [first] = failures;
  const message = first instanceof Error ? first.message : String(first);
  const exitCode = failures.every(isUnreachable) ? Exit.unreachable : Exit.failed;
  const number = failures.length === 1 ? 'one file was' : `${failures.length} files were`;
  return new CliError(exitCode, `${number} not fetched: ${message}`);
}
