import { toJson } from '@bufbuild/protobuf';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type SyncResult, SyncResultSchema } from '../../gen/backscroll/history/v1/history_pb.ts';
import type { Message } from '../../gen/backscroll/history/v1/message_pb.ts';
import type { Conversation } from '../../history/conversation.ts';
import type { Anchor } from '../../history/history-requests.ts';
import {
  type Context,
  type ConversationOptions,
  conversationOf,
  type FilterOptions,
  type GlobalOptions,
  wholeNumber,
  withConversation,
  withFilter,
} from '../context.ts';
import { usage } from '../exit.ts';
import { formatLine } from '../message-line.ts';
import type { Output } from '../output.ts';
import { readableMessage } from '../readable.ts';

interface Options extends GlobalOptions, ConversationOptions, FilterOptions {
  readonly count?: number;
  readonly before?: number;
  readonly after?: number;
  readonly around?: number;
  readonly at?: number;
  readonly aroundId?: string;
  readonly order: 'newest' | 'oldest';
}

/** Adds `backscroll sync`. */
export function addSync(program: Command, context: Context): void {
  withFilter(withConversation(program.command('sync')))
    .summary('read messages of a conversation')
    .description(
      'Reads messages of a conversation: the newest 50 unless told otherwise.\n' +
        'With --json, one message a line as `export` writes it, then a line {"result": …}.',
    )
    .option('-n, --count <number>', 'how many, at most (50)', wholeNumber)
    .option('--before <seq>', 'the newest below this seq', wholeNumber)
    .option('--after <seq>', 'the oldest above this seq; 0 is before the first', wholeNumber)
    .option('--around <seq>', 'as many below this seq as from it up', wholeNumber)
    .option('--at <time>', 'around the first one sent at this time or later: 2026-05-01, …', time)
    .option('--around-id <id>', 'around the message with this id')
    .addOption(
      new Option('--order <order>', 'which comes first')
        .choices(['newest', 'oldest'])
        .default('newest'),
    )
    .addHelpText(
      'after',
      `
Examples:
  backscroll sync --user alice --peer bob
  backscroll sync --group team --count 20 --order oldest
  backscroll sync --user alice --peer bob --before 951 --json | jq -r '.content.text // empty'
  backscroll sync --user alice --peer bob --at 2026-05-01 --kind file call`,
    )
    .action(async (_options, command: Command) => {
      await sync(context, command.optsWithGlobals<Options>());
    });
}

async function sync(context: Context, options: Options): Promise<void> {
  const conversation = conversationOf(options);
  const { count, order, kind, thread } = options;
  const page = context.history(options).sync(
    {
      ...conversation,
      ...anchorOf(options),
      count,
      ...((kind ?? thread) && { filter: { kinds: kind, thread } }),
      order: order === 'oldest' ? 'oldest-first' : 'newest-first',
    },
    context.call(options),
  );
  const { output } = context;
  const lineOf = options.json ? jsonLine(conversation) : readableLine(output);
  for await (const frame of page.frames()) {
    await output.write(frame.map((message) => `${lineOf(message)}\n`).join(''));
  }
  const result = await page.result;
  if (options.json) {
    await output.line(
      JSON.stringify({ result: toJson(SyncResultSchema, result, { alwaysEmitImplicit: true }) }),
    );
  } else {
    output.note(summaryOf(result));
  }
}

function anchorOf({ before, after, around, at, aroundId }: Options): Anchor {
  const given = Object.entries({
    beforeSeq: before,
    afterSeq: after,
    aroundSeq: around,
    aroundTimeMs: at,
    aroundMessageId: aroundId,
  }).filter(([, value]) => value !== undefined);
  if (given.length > 1) {
    throw usage('--before, --after, --around, --at and --around-id exclude each other');
  }
  return Object.fromEntries(given);
}

/** Reads an option that is a time, as `Date` does; without a zone it is the local one. */
function time(text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms))
    throw new InvalidArgumentError('It is not a time, such as 2026-05-01T12:00Z.');
  return ms;
}

function jsonLine(conversation: Conversation) {
  return (message: Message) => formatLine({ conversation, message });
}

function readableLine(output: Output) {
  return (message: Message) => {
    const { head, sender, text } = readableMessage(message);
    return `${output.dim(head)} ${output.bold(sender)}: ${text}`;
  };
}

function summaryOf(result: SyncResult): string {
  const { count, fromSeq, toSeq, lastSeq, revision } = result;
  if (lastSeq === 0n) return 'no messages yet';
  const which = count === 0n ? 'none' : `${fromSeq} to ${toSeq}`;
  const older = result.reachedOldest ? '' : `; older ones: --before ${fromSeq}`;
  const newer = result.reachedNewest ? '' : `; newer ones: --after ${toSeq}`;
  return `messages: ${which} of ${lastSeq}${older}${newer}; revision ${revision}`;
}
