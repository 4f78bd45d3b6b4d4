import type { Command } from 'commander';
import type { BackscrollError } from '../../errors.ts';
import { type Context, nonEmpty } from '../context.ts';
import { CliError, Exit, isUnreachable, usage } from '../exit.ts';
import {
  type DeviceConversationOptions,
  deviceConversationCommand,
  nameOf,
  withDevice,
} from './device-command.ts';

interface SendOptions extends DeviceConversationOptions {
  readonly id?: string;
  readonly retry?: string;
  readonly discard?: string;
}

/** What became of a message. */
type Fate =
  | { readonly id: string; readonly status: 'sent'; readonly seq: number | null }
  | { readonly id: string; readonly status: 'failed'; readonly reason: string }
  | { readonly id: string; readonly status: 'outbox' };

/** Adds `backscroll device send`. */
export function addDeviceSend(group: Command, context: Context): void {
  deviceConversationCommand(group, 'send')
    .summary('say something, or send what waits')
    .description(
      'Puts a message in the outbox, and sends all that waits there. Without a connection the message ' +
        'waits for the next `device send` or `device schedule`; that is no failure. Without a text, ' +
        'sends what waits.\nWith --json, one message a line: {"id", "status": "sent", "seq"}, ' +
        '{"id", "status": "failed", "reason"} or {"id", "status": "outbox"}.',
    )
    .argument('[text]', 'what is said')
    .option('--id <id>', 'id of the message, unique in its conversation (a new UUID)', nonEmpty)
    .option('--retry <id>', 'send a message again that was refused')
    .option('--discard <id>', 'remove a message that was refused from the outbox')
    .addHelpText(
      'after',
      `
Examples:
  backscroll device send --user alice --peer bob "Hello, Bob"
  backscroll device send --user alice`,
    )
    .action(async (text: string | undefined, _options, command: Command) => {
      await send(context, text, command.optsWithGlobals<SendOptions>());
    });
}

async function send(
  context: Context,
  text: string | undefined,
  options: SendOptions,
): Promise<void> {
  if (text === undefined && options.id !== undefined) throw usage('--id is that of a text');
  await withDevice(context, options, { calls: 'history' }, async (device) => {
    const fates: Fate[] = [];
    const refusals: BackscrollError[] = [];
    device.on('sent', (id, seq) => fates.push({ id, status: 'sent', seq }));
    device.on('failed', (id, error) => {
      fates.push({ id, status: 'failed', reason: error.reason });
      refusals.push(error);
    });
    const { id: given, retry, discard } = options;
    if (discard !== undefined && !device.discard(nameOf(options), discard)) throw noSuch(discard);
    if (retry !== undefined && !device.retry(nameOf(options), retry)) throw noSuch(retry);
    const message = { ...(given !== undefined && { id: given }), content: { text: text ?? '' } };
    const id = text === undefined ? undefined : device.append(nameOf(options), message);
    try {
      await device.flush();
      // Another process with this database may have been faster.
      const isTold = fates.some((fate) => fate.id === id);
      if (id !== undefined && !isTold) fates.push({ id, status: 'sent', seq: null });
    } catch (error) {
      if (id === undefined || !isUnreachable(error)) throw error;
      fates.push({ id, status: 'outbox' });
    }
    for (const fate of fates) {
      await context.output.line(options.json ? JSON.stringify(fate) : textOf(fate));
    }
    const [refusal] = refusals;
    if (refusal) throw refused(refusal);
  });
}

function textOf(fate: Fate): string {
  switch (fate.status) {
    case 'sent':
      return fate.seq === null ? `${fate.id}: sent` : `${fate.id}: sent, seq ${fate.seq}`;
    case 'failed':
      return `${fate.id}: refused (${fate.reason})`;
    case 'outbox':
      return `${fate.id}: waits in the outbox for a connection; \`device send\` tries again`;
  }
}

function noSuch(id: string): CliError {
  return new CliError(Exit.nothing, `No refused message ${id} is in the outbox`);
}

function refused({ message, reason }: BackscrollError): CliError {
  return new CliError(
    Exit.failed,
    `${message} (${reason})\nIt stays in the outbox: --retry ID sends it again, --discard ID removes it.`,
  );
}
