import { toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import {
  type AppendedMessage,
  AppendedMessageSchema,
} from '../../gen/backscroll/history/v1/history_pb.ts';
import type { MessageInit } from '../../history/history-requests.ts';
import {
  type Context,
  type ConversationOptions,
  conversationOf,
  type GlobalOptions,
  withConversation,
} from '../context.ts';
import { usage } from '../exit.ts';
import { type Line, linesOf, readInput } from '../lines.ts';

interface Options extends GlobalOptions, ConversationOptions {
  readonly sender?: string;
  readonly id?: string;
}

/** The service takes 500 messages a call, */
const MOST_MESSAGES = 500;
/** and 900 KiB; the rest is room for ids and names. */
const MOST_TEXT_BYTES = 600_000;

/** Adds `backscroll append`. */
export function addAppend(program: Command, context: Context): void {
  withConversation(program.command('append'))
    .summary('store messages at the end of a conversation')
    .description(
      'Stores a message at the end of a conversation, or as one each line of standard input that ' +
        'is not empty, and prints their seqs.',
    )
    .argument('<text>', 'what is said; - for the lines of standard input')
    .option('-s, --sender <name>', 'who says it (--user)')
    .option('--id <id>', 'idempotency key: repeating the command with it adds nothing')
    .addHelpText(
      'after',
      `
Examples:
  backscroll append --user alice --peer bob --id hello-1 "Hello, Bob"
  backscroll append --group team --sender alice "Hello, all"
  fortune | backscroll append --user alice --peer bob -`,
    )
    .action(async (text: string, _options, command: Command) => {
      await append(context, text, command.optsWithGlobals<Options>());
    });
}

async function append(context: Context, text: string, options: Options): Promise<void> {
  const conversation = conversationOf(options);
  const { sender = '', id } = options;
  if (sender === '' && options.user === undefined) throw usage('name the sender: --sender NAME');
  const client = context.history(options);
  const store = async (messages: MessageInit[]) => {
    const appended = await client.append({ ...conversation, messages }, context.call(options));
    await context.output.write(appended.messages.map(lineOf(options)).join(''));
  };
  if (text !== '-') {
    await store([{ sender, ...(id !== undefined && { id }), content: { text } }]);
    return;
  }
  if (id !== undefined) throw usage('--id names one message, and standard input may hold many');
  const input = readInput('-', { signal: context.signal });
  for await (const chunk of linesOf(input, 'standard input')) {
    for (const part of partsOf(chunk)) {
      await store(part.map((line) => ({ sender, content: { text: line } })));
    }
  }
}

function lineOf({ json }: Options) {
  return (message: AppendedMessage) =>
    json
      ? `${JSON.stringify(toJson(AppendedMessageSchema, message, { alwaysEmitImplicit: true }))}\n`
      : `${message.seq}\n`;
}

/** The texts of lines that are not empty, in parts that the service takes in one call. */
function* partsOf(lines: Line[]): Generator<string[]> {
  let part: string[] = [];
  let textBytes = 0;
  for (const { text, sizeBytes } of lines) {
    const said = text.replace(/\r$/, '');
    if (said === '') continue;
    if (
      part.length === MOST_MESSAGES ||
      (textBytes + sizeBytes > MOST_TEXT_BYTES && textBytes > 0)
    ) {
      yield part;
      part = [];
      textBytes = 0;
    }
    part.push(said);
    textBytes += sizeBytes;
  }
  if (part.length > 0) yield part;
}
