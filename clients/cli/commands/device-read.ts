import type { Command } from 'commander';
import type { LocalConversation, LocalMessage, MessageStatus } from '../../device/index.ts';
import { type Context, type FilterOptions, withFilter } from '../context.ts';
import type { Output } from '../output.ts';
import { readableMessage } from '../readable.ts';
import {
  type DeviceConversationOptions,
  type DeviceOptions,
  deviceCommand,
  deviceConversationCommand,
  nameOf,
  withDevice,
} from './device-command.ts';
import { endOf, type PageOptions, printPages, resultLine, withPages } from './device-pages.ts';
import { inboxLine } from './inbox.ts';

interface InboxOptions extends DeviceOptions, PageOptions {
  readonly unread?: boolean;
}

interface ReadOptions extends DeviceConversationOptions, PageOptions, FilterOptions {
  readonly unread?: boolean;
  readonly oldestFirst?: boolean;
  readonly receipts?: boolean;
}

/** Adds `backscroll device inbox`. */
export function addDeviceInbox(group: Command, context: Context): void {
  withPages(deviceCommand(group, 'inbox'))
    .summary("list the device's conversations")
    .description(
      'Lists conversations, those with the newest messages first, and fetches what the device does not ' +
        'know. On a terminal, the space bar brings more.\nWith --json, one conversation a line (peer or ' +
        'group, title, state, unread, marks, peerMarks, lastSeq, lastAtMs, lastMessage), then a line ' +
        '{"result": {"count", "reachedEnd", "lacking"}}.',
    )
    .option('--unread', 'only those with unread messages')
    .addHelpText(
      'after',
      `
Examples:
  backscroll device inbox --user alice
  backscroll device inbox --user alice --unread --offline --json`,
    )
    .action(async (_options, command: Command) => {
      await inbox(context, command.optsWithGlobals<InboxOptions>());
    });
}

async function inbox(context: Context, options: InboxOptions): Promise<void> {
  const { output } = context;
  const use = { calls: 'history', existing: options.offline } as const;
  await withDevice(context, options, use, async (device) => {
    const lines: string[] = [];
    const lineOf = options.json ? conversationJson : conversationLine(output);
    const { unread } = options;
    const session = device.readSummary((one) => lines.push(`${lineOf(one)}\n`), { unread });
    const print = () => output.write(lines.splice(0).join(''));
    const result = await printPages(context, options, session, print);
    if (options.json) await output.line(resultLine(result));
    else output.note(endOf(result, result.count === 0 ? 'no conversations' : 'these are all'));
  });
}

function conversationLine(output: Output) {
  return ({ conversation, title, unread, lastMessage }: LocalConversation) =>
    inboxLine(output, {
      name: conversation.peer ?? conversation.group,
      isGroup: conversation.group !== undefined,
      unreadCount: unread,
      ...{ title, lastMessage },
    });
}

function conversationJson({ conversation, lastMessage, ...rest }: LocalConversation): string {
  return JSON.stringify({ ...conversation, ...rest, lastMessage: lastMessage ?? null });
}

/** Adds `backscroll device read`. */
export function addDeviceRead(group: Command, context: Context): void {
  withFilter(withPages(deviceConversationCommand(group, 'read')))
    .summary('read a conversation, and scroll up')
    .description(
      'Reads a conversation from its newest message on, and fetches what the device does not hold. On a ' +
        'terminal, the space bar scrolls on, until the beginning.\nWith --json, one message a line (peer ' +
        'or group, seq, id, sender, sentAtMs, text, status, origin, and what it has of editedAtMs, ' +
        'deletedAtMs, expiresAtMs, call, files, thread), then a line {"result": {"count", "reachedEnd", ' +
        '"lacking"}}: whether the conversation ends there, and whether the device, --offline, lacks some ' +
        'of it.',
    )
    .option('--unread', 'only what is unread')
    .option('--oldest-first', 'from the first message on')
    .option('--receipts', 'what is read counts as read: others are told so')
    .addHelpText(
      'after',
      `
Examples:
  backscroll device read --user alice --peer bob
  backscroll device read --user alice --peer bob --unread --receipts --all
  backscroll device read --user alice --group team --kind file --count 10 --json
  backscroll device read --user alice --peer bob --offline`,
    )
    .action(async (_options, command: Command) => {
      await read(context, command.optsWithGlobals<ReadOptions>());
    });
}

async function read(context: Context, options: ReadOptions): Promise<void> {
  const conversation = nameOf(options);
  const { kind, thread, unread, oldestFirst, receipts, offline, json } = options;
  const { output } = context;
  const use = { calls: 'history', existing: offline } as const;
  await withDevice(context, options, use, async (device) => {
    const lines: string[] = [];
    const lineOf = json ? (message: LocalMessage) => JSON.stringify(message) : messageLine(output);
    const session = device.readSession(
      {
        ...conversation,
        order: oldestFirst ? 'oldest-first' : 'newest-first',
        ...{ kinds: kind, thread, unread, receipts, acrossHoles: offline },
      },
      (message) => lines.push(`${lineOf(message)}\n`),
    );
    const print = () => output.write(lines.splice(0).join(''));
    const result = await printPages(context, options, session, print);
    if (receipts && !offline) await device.flush();
    if (json) return output.line(resultLine(result));
    const { stored, unread: left, waiting } = device.counts(conversation);
    const edge = oldestFirst ? 'that is the end' : 'that is the beginning';
    const waits = waiting > 0 ? `; ${waiting} in the outbox: \`device send\` sends what waits` : '';
    const holds = `; ${stored} held here, ${left} unread${waits}`;
    const isNone = result.count === 0;
    output.note(endOf(result, isNone ? 'no messages' : edge) + (isNone ? '' : holds));
  });
}

/** How far one of the user's own has come. */
const MARKS: Readonly<Partial<Record<MessageStatus, string>>> = {
  outbox: 'waits',
  failed: 'refused',
  delivered: 'delivered',
  read: 'read',
};

/** A message as people read it, on one line. */
function messageLine(output: Output) {
  return (message: LocalMessage): string => {
    const { head, sender, text } = readableMessage(message);
    const mark = MARKS[message.status];
    const how = mark === undefined ? '' : ` ${output.dim(`(${mark})`)}`;
    return `${output.dim(head)} ${output.bold(sender)}: ${text}${how}`;
  };
}
