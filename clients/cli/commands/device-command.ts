import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import { hasSqlite } from '../../backup/sqlite-process.ts';
import type { Device, DeviceOptions as OpenOptions } from '../../device/index.ts';
import type { ConversationName } from '../../device/local/message.ts';
import { type Context, type GlobalOptions, nonEmpty } from '../context.ts';
import { type Callee, CliError, Exit, usage } from '../exit.ts';

/** The options of every command on a device. */
export interface DeviceOptions extends GlobalOptions {
  readonly user: string;
  readonly database: string;
}

/** The options of every command on one conversation of a device. */
export interface DeviceConversationOptions extends DeviceOptions {
  readonly peer?: string;
  readonly group?: string;
}

/** The local database, where none is named. */
const DEFAULT_FILE = 'backscroll-device.db';

/** Adds a command on a device. */
export function deviceCommand(group: Command, name: string): Command {
  return group
    .command(name)
    .requiredOption('-u, --user <name>', 'whose device it is')
    .option('-d, --database <file>', 'its local database', nonEmpty, DEFAULT_FILE);
}

/** Adds a command on one conversation of a device. */
export function deviceConversationCommand(group: Command, name: string): Command {
  return deviceCommand(group, name)
    .option('-p, --peer <name>', 'the other user of the conversation')
    .option('-g, --group <name>', 'the group');
}

/** The conversation that the options name. */
export function nameOf({ peer, group }: DeviceConversationOptions): ConversationName {
  if (peer !== undefined && group === undefined) return { peer };
  if (group !== undefined && peer === undefined) return { group };
  throw usage('name one conversation: --peer NAME, or --group NAME');
}

/** How a command works with a device. */
export interface DeviceUse {
  /** The service that it calls, if any. */
  readonly calls: Callee['name'];
  /** It makes no database where there is none. */
  readonly existing?: boolean | undefined;
  readonly files?: OpenOptions['files'];
}

/**
 * Opens the device, and closes it when the work has ended, or its signal fires: by an interrupt, or at
 * `--timeout`.
 */
export async function withDevice<T>(
  context: Context,
  options: DeviceOptions,
  { calls, existing, files }: DeviceUse,
  work: (device: Device, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { database, user, history, backup, timeout } = options;
  if (existing && !existsSync(database)) {
    const message = `There is no database ${database}: make it by \`device open\`, or name another with --database`;
    throw new CliError(Exit.nothing, message);
  }
  if (!existsSync(dirname(database))) throw usage(`There is no folder ${dirname(database)}`);
  context.callee = { name: calls, address: options[calls] };
  const { channel } = context;
  await using device = await open({ database, user, history, backup, channel, files });
  const late = timeout === undefined ? [] : [AbortSignal.timeout(timeout * 1000)];
  const ended = AbortSignal.any([context.signal, ...late]);
  const close = () => void device.close();
  ended.addEventListener('abort', close, { once: true });
  try {
    ended.throwIfAborted();
    return await work(device, ended);
  } catch (error) {
    if (!late[0]?.aborted || context.signal.aborted) throw error;
    throw new CliError(Exit.unreachable, `Not done in ${timeout} s: allow more with --timeout`);
  } finally {
    ended.removeEventListener('abort', close);
  }
}

/** Loaded now: all other commands run where there is no SQLite, too. */
async function open(options: OpenOptions): Promise<Device> {
  if (!hasSqlite) {
    throw usage(
      `a device needs Node 24 or newer, for its SQLite; this is ${process.versions.node}. ` +
        'All other commands run here.',
    );
  }
  const { Device } = await import('../../device/index.ts');
  return Device.open(options);
}
