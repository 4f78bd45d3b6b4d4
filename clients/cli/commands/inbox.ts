import { toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { type Conversation, ConversationSchema } from '../../gen/backscroll/history/v1/inbox_pb.ts';
import { type Context, type GlobalOptions, wholeNumber } from '../context.ts';
import type { Output } from '../output.ts';
import { ALL_FIELDS } from '../print.ts';
import { printable, readableMessage, type Shown } from '../readable.ts';

interface Options extends GlobalOptions {
  readonly user: string;
  readonly since?: number;
}

/** Adds `backscroll inbox`. */
export function addInbox(program: Command, context: Context): void {
  program
    .command('inbox')
    .summary("list a user's conversations")
    .description(
      'Lists the conversations of a user, those with the newest messages first: how many messages are ' +
        'unread, the name, and the last message.\nWith --json, one conversation a line, then a line ' +
        '{"userRevision": …} for the next --since.',
    )
    .requiredOption('-u, --user <name>', 'whose conversations')
    .option(
      '--since <user revision>',
      'only those in which something changed for this user alone: joined, left, read, hid',
      wholeNumber,
    )
    .addHelpText(
      'after',
      `
Examples:
  backscroll inbox --user alice
  backscroll inbox --user alice --json | jq -r 'select(.unreadCount > 0) | .peer // .group'`,
    )
    .action(async (_options, command: Command) => {
      await list(context, command.optsWithGlobals<Options>());
    });
}

async function list(context: Context, options: Options): Promise<void> {
  const { user, since, json } = options;
  const { output } = context;
  const inbox = context
    .history(options)
    .inbox({ user, pageSize: 500, sinceUserRevision: since }, context.call(options));
  const { conversations, userRevision } = await inbox.collect();
  for (const conversation of conversations) {
    await output.line(
      json
        ? JSON.stringify(toJson(ConversationSchema, conversation, ALL_FIELDS))
        : readableLine(output, conversation),
    );
  }
  if (json) await output.line(JSON.stringify({ userRevision: String(userRevision) }));
  else if (conversations.length === 0) output.note('no conversations');
  else output.note(`user revision ${userRevision}: --since ${userRevision} next time`);
}

/** The service counts to 1,000: 1,001 means more. */
const MOST_UNREAD = 1_000;

function readableLine(output: Output, conversation: Conversation): string {
  const { case: kind, value: name = '' } = conversation.conversation;
  return inboxLine(output, { ...conversation, name, isGroup: kind === 'group' });
}

/** A conversation of an inbox, of the service or of a device. */
export interface Listed {
  readonly name: string;
  readonly isGroup: boolean;
  readonly title: string;
  readonly unreadCount: number;
  readonly lastMessage?: Shown | undefined;
}

/** One conversation as people read it, on one line. */
export function inboxLine(output: Output, listed: Listed): string {
  const { name, isGroup, title, unreadCount, lastMessage } = listed;
  const unread = unreadCount > MOST_UNREAD ? `${MOST_UNREAD}+` : String(unreadCount || '');
  const shown = isGroup ? `#${printable(name)}` : printable(name);
  const called = title === '' ? '' : ` (${printable(title)})`;
  const last = lastMessage ? readableMessage(lastMessage) : undefined;
  const said = last ? ` ${output.dim(last.head)} ${last.sender}: ${last.text}` : '';
  return `${unread.padStart(5)}  ${output.bold(shown)}${called}${said}`;
}
