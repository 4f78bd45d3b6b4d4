import type { SyncResult } from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { Message } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Anchor, Filter, MessageKind } from '../../../clients/history/history-requests.ts';
import type { Random } from '../random.ts';
import { addressOf, agree } from './copy-life.ts';
import { digestOf, keyOf, type ModelConversation, type ModelMessage } from './copy-model.ts';
import { seenBy, viewOf } from './copy-view.ts';
import { anybody, type Operation } from './copy-writes.ts';

/** Reads one page by any anchor and filter, and holds it to the model, message by message. */
export const readPage: Operation = async (life, random, signal) => {
  const conversation = life.pick(random);
  using _ = await life.enter(conversation, true);
  const user = anybody(life, random, conversation);
  const query = {
    anchor: randomAnchor(random, conversation),
    filter: random.oneIn(2) ? undefined : randomFilter(random),
    count: random.oneIn(10) ? 2_000 : random.between(1, 60),
    order: random.oneIn(2) ? ('oldest-first' as const) : ('newest-first' as const),
  };
  const { anchor, ...rest } = query;
  const beganMs = Date.now();
  const outcome = await life.call(random, signal, ({ history }) =>
    history.sync({ ...addressOf(conversation, user), ...anchor, ...rest }, { signal }).collect(),
  );
  const endedMs = Date.now();
  const view = viewOf(conversation, user);
  if (!view) {
    agree(conversation, 'page', outcome, 'NOT_A_MEMBER');
    return;
  }
  const target = conversation.messages.find(({ id }) => id === anchor.aroundMessageId);
  agree(conversation, 'page', outcome, undefined, ...(target ? ['MESSAGE_NOT_FOUND'] : []));
  // How far the floor rose meanwhile is not told then.
  if (!outcome.value && target && conversation.mayBeGone(target, endedMs)) return;
  const messages = outcome.value?.messages.toSorted((a, b) => (a.seq < b.seq ? -1 : 1)) ?? [];
  const floor = Number(outcome.value?.result.floorSeq ?? view.floor);
  checkFloor(conversation, view.floor, floor, endedMs, user);
  // What vanishes while the page is read may be in it or not.
  const due = [beganMs, endedMs].map((nowMs) => {
    const seen = seenBy(conversation, user, floor, nowMs);
    return { seen, seqs: pageOf(seen, query, view.lastSeq, user) };
  });
  const got = messages.map(({ seq }) => Number(seq));
  const fits = due.some(({ seqs }) => same(seqs, outcome.value && got));
  const steady = due[0]?.seen.length === due[1]?.seen.length;
  if (!fits && steady) {
    const { seqs } = due[0] ?? {};
    const asked = JSON.stringify({ ...query, anchor: { ...anchor } }, bigintText);
    throw new Error(
      `${keyOf(conversation.name)}: ${user} asked ${asked} and got ${outcome.value ? got : outcome.reason}, not ${seqs}`,
    );
  }
  if (!outcome.value) return;
  for (const message of messages) checkMessage(conversation, message);
  checkResult(outcome.value.result, view, messages);
};

interface Query {
  readonly anchor: Anchor;
  readonly filter: Filter | undefined;
  readonly count: number;
}

/** The seqs of a page, ascending; undefined where the anchor is a message that is not seen. */
function pageOf(
  seen: readonly ModelMessage[],
  { anchor, filter, count }: Query,
  lastSeq: number,
  user: string,
): number[] | undefined {
  const matching = seen.filter((message) => lets(filter, message, user)).map(({ seq }) => seq);
  const { beforeSeq, afterSeq, aroundSeq, aroundTimeMs, aroundMessageId } = anchor;
  if (afterSeq !== undefined) return matching.filter((seq) => seq > afterSeq).slice(0, count);
  let middle = aroundSeq;
  if (aroundMessageId !== undefined) {
    middle = seen.find(({ id }) => id === aroundMessageId)?.seq;
    if (middle === undefined) return undefined;
  }
  if (aroundTimeMs !== undefined) {
    middle = seen.find(({ sentAtMs }) => sentAtMs >= aroundTimeMs)?.seq;
  }
  if (middle === undefined) {
    const end = Number(beforeSeq ?? lastSeq + 1);
    return matching.filter((seq) => seq < end).slice(-count);
  }
  const at = Number(middle);
  const above = matching.filter((seq) => seq >= at);
  const below = matching.filter((seq) => seq < at);
  const low = Math.min(below.length, Math.max(Math.floor(count / 2), count - above.length));
  return [...below.slice(below.length - low), ...above.slice(0, count - low)];
}

function lets(filter: Filter | undefined, { traits, sender, said }: ModelMessage, user: string) {
  const { kinds = [], thread = '' } = filter ?? {};
  if (kinds.length === 0 && thread === '') return true;
  if (said === undefined || (thread !== '' && traits.thread !== thread)) return false;
  const holds: Record<MessageKind, boolean> = {
    text: traits.text,
    file: traits.file,
    call: traits.call,
    'missed-call': traits.missed && sender !== user,
    'incoming-call': traits.call && sender !== user,
    'outgoing-call': traits.call && sender === user,
  };
  return kinds.length === 0 || kinds.some((kind) => holds[kind]);
}

function randomAnchor(random: Random, conversation: ModelConversation): Anchor {
  const { lastSeq, floor } = conversation;
  const seq = random.between(0, lastSeq + 2);
  const near = Math.max(floor, lastSeq - random.between(0, 50));
  const message = conversation.messages[(random.oneIn(2) ? near : seq) - 1];
  switch (random.between(0, 6)) {
    case 0:
      return { beforeSeq: seq };
    case 1:
      return { afterSeq: seq };
    case 2:
      return { aroundSeq: seq };
    case 3:
      return { aroundTimeMs: (message?.sentAtMs ?? 0n) + BigInt(random.between(-1, 1)) };
    case 4:
      return message ? { aroundMessageId: message.id } : {};
    default:
      return {};
  }
}

const kinds: readonly MessageKind[] = [
  ...(['text', 'file', 'call', 'missed-call', 'incoming-call', 'outgoing-call'] as const),
];

function randomFilter(random: Random): Filter {
  const some = Array.from({ length: random.between(0, 2) }, () => random.pick(kinds));
  return { kinds: some, thread: random.oneIn(3) ? 'thread' : '' };
}

/** Holds a floor that was told to what retention and expiry may have removed. */
export function checkFloor(
  conversation: ModelConversation,
  before: number,
  floor: number,
  nowMs: number,
  user: string,
): void {
  const removed = conversation.messages.slice(before - 1, floor - 1);
  const early = removed.find((message) => !conversation.mayBeGone(message, nowMs));
  if (floor < before || early) {
    const what = early ? `${early.seq} went before its time` : 'it fell';
    throw new Error(
      `${keyOf(conversation.name)}: the floor for ${user || 'a service'} went from ${before} to ${floor}: ${what}`,
    );
  }
}

/** Holds a message to what was acknowledged of it. */
export function checkMessage(conversation: ModelConversation, message: Message): void {
  const due = conversation.messages[Number(message.seq) - 1];
  const { id, sender, sentAtMs, expiresAtMs, content, editedAtMs, deletedAtMs } = message;
  const said = content && digestOf(content);
  const wrong =
    !due ||
    id !== due.id ||
    sender !== due.sender ||
    sentAtMs !== due.sentAtMs ||
    Number(expiresAtMs) !== due.expiresAtMs ||
    said !== due.said ||
    deletedAtMs > 0n !== (due.said === undefined) ||
    editedAtMs > 0n !== due.edited;
  if (wrong) {
    const shown = JSON.stringify([due, { ...message, content: undefined, said }], bigintText);
    throw new Error(`${keyOf(conversation.name)}: ${message.seq} is not as acknowledged: ${shown}`);
  }
}

function checkResult(
  result: SyncResult,
  view: {
    readonly lastSeq: number;
    readonly epoch: number;
    readonly read: number;
    readonly delivered: number;
  },
  messages: readonly Message[],
): void {
  const { count, lastSeq, epoch, marks } = result;
  const got = [count, lastSeq, epoch, marks?.readSeq, marks?.deliveredSeq].map(Number);
  const due = [messages.length, view.lastSeq, view.epoch, view.read, view.delivered];
  if (!same(got, due)) throw new Error(`a page's result says ${got}, not ${due}`);
}

function same(a: readonly number[] | undefined, b: readonly number[] | undefined): boolean {
  return a?.length === b?.length && (a ?? []).every((seq, index) => seq === b?.[index]);
}

function bigintText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
