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
  | { readonly id: string; readonly status: 'outbox' | 'discarded' };

/** Adds `backscroll device send`. */
export function addDeviceSend(group: Command, context: Context): void {
  deviceConversationCommand(group, 'send')
    .summary('say something, or send what waits')
    .description(
      'Puts a message in the outbox, and sends all that waits there. Without a connection the message ' +
        'waits for the next `device send` or `device schedule`; that is no failure. Without a text, ' +
        'sends what waits.\nWith --json, one message a line: {"id", "status": "sent", "seq"}, ' +
        '{"id", "status": "failed", "reason"}, or {"id", "status"} that is "outbox" or "discarded".',
    )
    .argument('[text]', 'what is said')
    .option('--id <id>', 'id of the message, unique in its conversation (a new UUID)', nonEmpty)
    .option('--retry <id>', 'send a message of the conversation again that was refused')
    .option('--discard <id>', 'remove one that was refused from the outbox')
    .addHelpText(
      'after',
      `
Examples:
  backscroll device send --user alice --peer bob "Hello, Bob"
  backscroll device send --user alice
  backscroll device send --user alice --peer bob --discard 0197c9a2-6f7c-7d40-8000-2c1b7e5d9f10`,
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
  const { id: given, retry, discard } = options;
  if (text === undefined && given !== undefined) throw usage('--id is that of a text');
  const ofRefused = retry ?? discard;
  if ((text ?? ofRefused) !== undefined) nameOf(options);
  const use = { calls: 'history', existing: ofRefused !== undefined } as const;
  await withDevice(context, options, use, async (device) => {
    const fates: Fate[] = [];
    const refusals: BackscrollError[] = [];
    device.on('sent', (id, seq) => fates.push({ id, status: 'sent', seq }));
    device.on('failed', (id, error) => {
      fates.push({ id, status: 'failed', reason: error.reason });
      refusals.push(error);
    });
    const tell = (fate: Fate) =>
      context.output.line(options.json ? JSON.stringify(fate) : textOf(fate));
    if (discard !== undefined) {
      if (!device.discard(nameOf(options), discard)) throw noSuch(discard);
      await tell({ id: discard, status: 'discarded' });
    }
    if (retry !== undefined && !device.retry(nameOf(options), retry)) throw noSuch(retry);
    const message = { ...(given !== undefined && { id: given }), content: { text: text ?? '' } };
    const said = text === undefined ? undefined : device.append(nameOf(options), message);
    const waiting = [retry, said].filter((id) => id !== undefined);
    const untold = () => waiting.filter((id) => fates.every((fate) => fate.id !== id));
    try {
      await device.flush();
      // Another process with this database may have been faster.
      for (const id of untold()) fates.push({ id, status: 'sent', seq: null });
    } catch (error) {
      if ((text ?? ofRefused) === undefined || !isUnreachable(error)) throw error;
      for (const id of untold()) fates.push({ id, status: 'outbox' });
    }
    for (const fate of fates) await tell(fate);
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
    case 'discarded':
      return `${fate.id}: removed from the outbox`;
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
