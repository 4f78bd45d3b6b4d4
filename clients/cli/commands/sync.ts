import { toJson } from '@bufbuild/protobuf';
import { type Command, Option } from 'commander';
import type { Conversation } from '../../conversation.ts';
import { type SyncResult, SyncResultSchema } from '../../gen/backscroll/history/v1/history_pb.ts';
import type { Message } from '../../gen/backscroll/history/v1/message_pb.ts';
import {
  type Context,
  type ConversationOptions,
  conversationOf,
  type GlobalOptions,
  wholeNumber,
  withConversation,
} from '../context.ts';
import { usage } from '../exit.ts';
import { formatLine } from '../message-line.ts';
import type { Output } from '../output.ts';
import { readableMessage } from '../readable.ts';

interface Options extends GlobalOptions, ConversationOptions {
  readonly count?: number;
  readonly before?: number;
  readonly after?: number;
  readonly order: 'newest' | 'oldest';
}

/** Adds `backscroll sync`. */
export function addSync(program: Command, context: Context): void {
  withConversation(program.command('sync'))
    .summary('read messages of a conversation')
    .description(
      'Reads messages of a conversation: the newest 50 unless told otherwise.\n' +
        'With --json, one message a line as `export` writes it, then a line {"result": …}.',
    )
    .option('-n, --count <number>', 'how many, at most (50)', wholeNumber)
    .option('--before <seq>', 'the newest below this seq', wholeNumber)
    .option('--after <seq>', 'the oldest above this seq; 0 is before the first', wholeNumber)
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
  backscroll sync --user alice --peer bob --before 951 --json | jq -r .content.text`,
    )
    .action(async (_options, command: Command) => {
      await sync(context, command.optsWithGlobals<Options>());
    });
}

async function sync(context: Context, options: Options): Promise<void> {
  const conversation = conversationOf(options);
  const { count, before, after, order } = options;
  if (before !== undefined && after !== undefined) {
    throw usage('--before and --after exclude each other');
  }
  const page = context.history(options).sync(
    {
      ...conversation,
      ...(before === undefined ? { afterSeq: after } : { beforeSeq: before }),
      count,
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
  const { count, fromSeq, toSeq, lastSeq } = result;
  if (lastSeq === 0n) return 'no messages yet';
  const which = count === 0n ? 'none' : `${fromSeq} to ${toSeq}`;
  const older = result.reachedOldest ? '' : `; older ones: --before ${fromSeq}`;
  const newer = result.reachedNewest ? '' : `; newer ones: --after ${toSeq}`;
  return `messages: ${which} of ${lastSeq}${older}${newer}`;
}
