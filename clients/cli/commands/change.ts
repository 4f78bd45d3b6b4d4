import { toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import {
  ChangesResultSchema,
  DeleteMessagesResponseSchema,
  EditMessageResponseSchema,
} from '../../gen/backscroll/history/v1/changes_pb.ts';
import { MarksSchema } from '../../gen/backscroll/history/v1/inbox_pb.ts';
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
import { ALL_FIELDS, print } from '../print.ts';
import { readableMessage } from '../readable.ts';

interface Options extends GlobalOptions, ConversationOptions {}

/** Adds the commands that change what was stored, and the one that tells of changes. */
export function addChange(program: Command, context: Context): void {
  addEdit(program, context);
  addDelete(program, context);
  addRead(program, context);
  addChanges(program, context);
}

function addEdit(program: Command, context: Context): void {
  withConversation(program.command('edit'))
    .summary('give a message a new text')
    .description('Gives a message of the user a new text, in place of all that it said.')
    .argument('<seq>', 'which message', wholeNumber)
    .argument('<text>', 'what it says from now on')
    .option(
      '--revision <number>',
      'only if it stands at this revision; 0: never changed',
      wholeNumber,
    )
    .addHelpText(
      'after',
      `
Examples:
  backscroll edit --user alice --peer bob 17 "Hello, Bob!"
  backscroll edit --user alice --group team --revision 0 17 "Fixed"`,
    )
    .action(async (seq: number, text: string, _options, command: Command) => {
      const options = command.optsWithGlobals<Options & { revision?: number }>();
      const response = await context.history(options).edit(
        {
          ...conversationOf(options),
          user: userOf(options),
          seq,
          content: { text },
          expectedRevision: options.revision,
        },
        context.call(options),
      );
      const json = toJson(EditMessageResponseSchema, response, ALL_FIELDS);
      await print(context, options, `edited, revision ${response.revision}`, json);
    });
}

interface DeleteOptions extends Options {
  readonly forEveryone?: boolean;
  readonly upTo?: number;
}

function addDelete(program: Command, context: Context): void {
  withConversation(program.command('delete'))
    .summary('delete messages')
    .description('Deletes messages for the user alone, or for everyone.')
    .argument('[seqs...]', 'which messages', (text, before: number[] = []) => [
      ...before,
      wholeNumber(text),
    ])
    .option('--for-everyone', 'leave only tombstones, for all')
    .option('--up-to <seq>', 'all messages up to this seq', wholeNumber)
    .addHelpText(
      'after',
      `
Examples:
  backscroll delete --user alice --peer bob 17 18
  backscroll delete --user alice --peer bob --for-everyone 17
  backscroll delete --user alice --group team --up-to 950`,
    )
    .action(async (seqs: number[], _options, command: Command) => {
      await deleteMessages(context, seqs, command.optsWithGlobals<DeleteOptions>());
    });
}

async function deleteMessages(
  context: Context,
  seqs: number[],
  options: DeleteOptions,
): Promise<void> {
  const { upTo, forEveryone } = options;
  if ((seqs.length === 0) === (upTo === undefined)) throw usage('name either seqs or --up-to');
  const which = upTo === undefined ? { seqs } : { upToSeq: upTo };
  const scope = forEveryone ? 'for-everyone' : 'for-me';
  const response = await context
    .history(options)
    .delete({ ...conversationOf(options), scope, ...which }, context.call(options));
  const json = toJson(DeleteMessagesResponseSchema, response, ALL_FIELDS);
  const text = upTo !== undefined && !forEveryone ? `all up to ${upTo}` : `${response.deleted}`;
  await print(context, options, `deleted: ${text}; revision ${response.revision}`, json);
}

function addRead(program: Command, context: Context): void {
  withConversation(program.command('read'))
    .summary('mark messages as read')
    .description(
      'Marks all messages up to a seq as read by the user, or with --delivered as delivered to them.',
    )
    .argument('<seq>', 'the newest message read', wholeNumber)
    .option('--delivered', 'mark as delivered alone')
    .addHelpText(
      'after',
      `
Examples:
  backscroll read --user bob --peer alice 17
  backscroll read --user bob --group team --delivered 950`,
    )
    .action(async (seq: number, _options, command: Command) => {
      const options = command.optsWithGlobals<Options & { delivered?: boolean }>();
      const client = context.history(options);
      const request = { ...conversationOf(options), user: userOf(options), seq };
      const marks = options.delivered
        ? await client.markDelivered(request, context.call(options))
        : await client.markRead(request, context.call(options));
      const text = `read up to ${marks.readSeq}, delivered up to ${marks.deliveredSeq}`;
      await print(context, options, text, toJson(MarksSchema, marks, ALL_FIELDS));
    });
}

function addChanges(program: Command, context: Context): void {
  withConversation(program.command('changes'))
    .summary('read what changed in a conversation')
    .description(
      'Reads the messages that were edited or deleted since a revision, as they now stand.\n' +
        'With --json, one message a line, a line {"hiddenSeq": …} for each message that the user ' +
        'deleted for themself, then a line {"result": …}.',
    )
    .requiredOption('--since <revision>', 'the revision that is known', wholeNumber)
    .addHelpText(
      'after',
      `
Examples:
  backscroll changes --user alice --peer bob --since 0
  backscroll changes --group team --since 12 --json`,
    )
    .action(async (_options, command: Command) => {
      await changes(context, command.optsWithGlobals<Options & { since: number }>());
    });
}

async function changes(context: Context, options: Options & { since: number }): Promise<void> {
  const conversation = conversationOf(options);
  const { output } = context;
  const stream = context
    .history(options)
    .changes({ ...conversation, sinceRevision: options.since }, context.call(options));
  for await (const { messages, hiddenSeqs } of stream.frames()) {
    for (const message of messages) {
      const { head, sender, text } = readableMessage(message);
      await output.line(
        options.json ? formatLine({ conversation, message }) : `${head} ${sender}: ${text}`,
      );
    }
    for (const seq of hiddenSeqs) {
      await output.line(
        options.json ? JSON.stringify({ hiddenSeq: String(seq) }) : `${seq} [deleted for you]`,
      );
    }
  }
  const result = await stream.result;
  if (options.json) {
    const json = toJson(ChangesResultSchema, result, ALL_FIELDS);
    await output.line(JSON.stringify({ result: json }));
  } else {
    output.note(`revision ${result.revision}: --since ${result.revision} next time`);
  }
}

function userOf({ user }: Options): string {
  if (user === undefined) throw usage('name the user: --user NAME');
  return user;
}
