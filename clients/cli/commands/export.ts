import type { Command } from 'commander';
import { Attempts, willPass } from '../../attempts.ts';
import { refuseTaken, writeNewFile } from '../../backup/new-file.ts';
import type { Message } from '../../gen/backscroll/history/v1/message_pb.ts';
import type { Conversation } from '../../history/conversation.ts';
import {
  type Context,
  type ConversationOptions,
  conversationOf,
  type GlobalOptions,
  withConversation,
} from '../context.ts';
import { formatLine } from '../message-line.ts';
import { progressBar } from '../progress.ts';

interface Options extends GlobalOptions, ConversationOptions {
  readonly output?: string;
  readonly force?: boolean;
}

/** Messages asked for at a time. */
const PAGE = 10_000;

/** Adds `backscroll export`. */
export function addExport(program: Command, context: Context): void {
  withConversation(program.command('export'))
    .summary('write a whole conversation, one message a line')
    .description(
      'Writes all messages of a conversation, oldest first: one JSON message a line, as `import` ' +
        'takes them back.',
    )
    .option('-o, --output <file>', 'write to a file, which appears once it is complete')
    .option('-f, --force', 'replace the file if it exists')
    .addHelpText(
      'after',
      `
Examples:
  backscroll export --user alice --peer bob --output alice-bob.ndjson
  backscroll export --group team | gzip > team.ndjson.gz`,
    )
    .action(async (_options, command: Command) => {
      await exportConversation(context, command.optsWithGlobals<Options>());
    });
}

async function exportConversation(context: Context, options: Options): Promise<void> {
  const conversation = conversationOf(options);
  const { output, force } = options;
  if (output === undefined || output === '-') {
    await readAll(context, options, conversation, (lines) => context.output.write(lines));
    return;
  }
  const mayAppear = () => refuseTaken(output, force);
  let count = 0;
  await writeNewFile(output, mayAppear, async (file) => {
    count = await readAll(context, options, conversation, (lines) => file.writeFile(lines));
  });
  context.output.note(`messages exported: ${count}`);
}

/** Reads a conversation from its beginning, page by page; goes on where it was after a break. */
async function readAll(
  context: Context,
  options: Options,
  conversation: Conversation,
  write: (lines: string) => Promise<void>,
): Promise<number> {
  const client = context.history(options);
  const attempts = new Attempts(context.signal);
  const lineOf = (message: Message) => `${formatLine({ conversation, message })}\n`;
  const progress = progressBar('Exporting', String);
  let afterSeq = 0n;
  let newestSeq = 0n;
  let count = 0;
  try {
    for (;;) {
      try {
        const request = { ...conversation, afterSeq, count: PAGE, order: 'oldest-first' } as const;
        const page = client.sync(request, context.call(options));
        for await (const frame of page.frames()) {
          await write(frame.map(lineOf).join(''));
          afterSeq = frame.at(-1)!.seq;
          count += frame.length;
          attempts.progressed();
          progress.update(Number(afterSeq), Number(newestSeq));
        }
        const { reachedNewest, toSeq, lastSeq } = await page.result;
        if (reachedNewest) return count;
        if (toSeq > afterSeq) afterSeq = toSeq;
        newestSeq = lastSeq;
      } catch (error) {
        await attempts.failed(error, willPass);
      }
    }
  } finally {
    progress.stop();
  }
}
