import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  ContentSchema,
  type Message,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Random } from '../random.ts';
import { addressOf, agree, type Life, membersOf } from './copy-life.ts';
import { digestOf, type ModelConversation, type ModelMessage, traitsOf } from './copy-model.ts';
import { sees } from './copy-view.ts';
import { randomContent } from './messages.ts';

/** One random thing that happens. */
export type Operation = (life: Life, random: Random, signal: AbortSignal) => Promise<void>;

/** Longest that a call may take, in milliseconds: what may vanish within is not touched. */
const callMs = 60_000;

/** Appends a few messages, beside others who do. */
export const append: Operation = async (life, random, signal) => {
  const conversation = life.pick(random);
  const alone = hasToBeAlone(conversation);
  using _ = await life.enter(conversation, alone);
  if (!alone && hasToBeAlone(conversation)) return;
  const messages = newMessages(life, random, conversation, random.oneIn(30) ? 60 : 4);
  const outcome = await say(life, random, conversation, messages, signal);
  agree(conversation, 'append', outcome, refusal(conversation, messages));
  if (!outcome.value) return;
  if (alone) conversation.removedUnheard(Number(outcome.value[0]?.seq));
  keep(life, conversation, messages, outcome.value);
};

/** Whether what an append does to a conversation depends on what is done beside it. */
function hasToBeAlone(conversation: ModelConversation): boolean {
  if (conversation.isShort) return true;
  if (conversation.name.pair) return conversation.lastSeq === 0 || conversation.incomplete;
  // Its senders become members.
  return !conversation.created;
}

/** Appends messages that vanish within seconds. */
export const appendFleeting: Operation = async (life, random, signal) => {
  const conversation = life.pick(random);
  using _ = await life.enter(conversation, true);
  const expiresAtMs = BigInt(Date.now() + random.between(300, 3_000));
  const messages = newMessages(life, random, conversation, 2).map((message) =>
    create(MessageSchema, { ...message, sentAtMs: BigInt(Date.now()), expiresAtMs }),
  );
  const before = conversation.lastSeq;
  const outcome = await say(life, random, conversation, messages, signal);
  if (outcome.value) {
    keep(life, conversation, messages, outcome.value);
    return;
  }
  const due = refusal(conversation, messages);
  // A try that was not heard of may have stored them, and the next one came too late.
  agree(conversation, 'append', outcome, due, 'INVALID_FIELD');
  if (due !== undefined) return;
  const stored = await lastSeqOf(life, random, conversation, signal);
  if (stored === before) return;
  if (stored !== before + messages.length) throw new Error(`${stored} after ${before}`);
  const placed = messages.map(({ sentAtMs }, n) => ({ seq: BigInt(before + n + 1), sentAtMs }));
  keep(life, conversation, messages, placed);
};

/** The last seq as a service is told it, or as either of a pair. */
export async function lastSeqOf(
  life: Life,
  random: Random,
  conversation: ModelConversation,
  signal: AbortSignal,
): Promise<number> {
  const { pair } = conversation.name;
  const user = pair ? ([...conversation.members.keys()][0] ?? pair[0]) : '';
  const { value, reason } = await life.call(random, signal, async ({ history }) => {
    const page = history.sync({ ...addressOf(conversation, user), count: 1 }, { signal });
    return (await page.collect()).result;
  });
  if (reason === 'GROUP_NOT_FOUND' && conversation.lastSeq === 0) return 0;
  if (!value) throw new Error(`a page of one ended in ${reason}`);
  return Number(value.lastSeq);
}

/** Imports a run of old messages, by anybody and by unknown senders. */
export const importRun: Operation = async (life, random, signal) => {
  const conversation = life.pick(random);
  using _ = await life.enter(conversation, true);
  if (conversation.retentionS > 0) return;
  const messages = Array.from({ length: random.between(1, 8) }, () => {
    const id = life.fresh('old');
    const sentAtMs = BigInt(random.between(1, 1_600_000_000)) * 1_000n;
    const sender = random.oneIn(5) ? '' : anybody(life, random, conversation);
    return create(MessageSchema, { id, sender, sentAtMs, content: randomContent(random, id) });
  });
  const before = conversation.lastSeq;
  const run = { ...addressOf(conversation, conversation.name.pair?.[0] ?? ''), messages };
  const outcome = await life.call(random, signal, async ({ history }) => {
    let stored = 0;
    for await (const { added, repeated } of history.import([{ runs: [run] }], { signal })) {
      stored += added + repeated;
    }
    return stored;
  });
  agree(conversation, 'import', outcome, conversation.deleted ? 'GROUP_DELETED' : undefined);
  if (outcome.value === undefined) return;
  if (outcome.value !== messages.length) throw new Error(`${outcome.value} were imported`);
  const placed = messages.map(({ sentAtMs }, n) => ({ seq: BigInt(before + n + 1), sentAtMs }));
  keep(life, conversation, messages, placed, true);
};

/** Gives a message new content; now and then of somebody else, or one that is gone. */
export const edit: Operation = async (life, random, signal) => {
  const conversation = life.pick(random);
  using _ = await life.enter(conversation, false);
  const [message] = pickMessages(random, conversation, 1);
  if (!message) return;
  using taken = take(life, conversation, [message]);
  if (!taken) return;
  const other = random.oneIn(8) || message.sender === '';
  const user = other ? anybody(life, random, conversation) : message.sender;
  const content = create(ContentSchema, randomContent(random, life.fresh('edit')));
  const target = random.oneIn(2) ? { seq: message.seq } : { messageId: message.id };
  const request = { ...addressOf(conversation, user), user, ...target, content };
  const outcome = await life.call(random, signal, ({ history }) =>
    history.edit(request, { signal }),
  );
  agree(conversation, 'edit', outcome, editRefusal(conversation, user, message));
  if (!outcome.value) return;
  rise(conversation, outcome.value.revision);
  // What says that already stays as it is.
  message.edited ||= message.said !== digestOf(content);
  message.said = digestOf(content);
  message.traits = traitsOf(content);
  life.touchedUsers.add(user);
};

function editRefusal(conversation: ModelConversation, user: string, message: ModelMessage) {
  const isGroup = conversation.name.group !== undefined;
  if (isGroup && (conversation.deleted || !conversation.isMember(user))) return 'NOT_A_MEMBER';
  if (!sees(conversation, user, message, Date.now())) return 'MESSAGE_NOT_FOUND';
  if (message.sender !== user) return 'NOT_THE_SENDER';
  return message.said === undefined ? 'MESSAGE_DELETED' : undefined;
}

/** Sends messages, for their sender where there is one alone, else as a service. */
export function say(
  life: Life,
  random: Random,
  conversation: ModelConversation,
  messages: readonly Message[],
  signal: AbortSignal,
) {
  const user = conversation.name.pair?.[0] ?? '';
  const request = { ...addressOf(conversation, user), messages };
  return life.call(
    random,
    signal,
    async ({ history }) => (await history.append(request, { signal })).messages,
  );
}

/** The model takes over what a service stored. */
export function keep(
  life: Life,
  conversation: ModelConversation,
  messages: readonly Message[],
  placed: readonly { readonly seq: bigint; readonly sentAtMs: bigint }[],
  imported = false,
): void {
  const stored = messages.map((message, n): ModelMessage => {
    const { id, sender, expiresAtMs, content = create(ContentSchema) } = message;
    life.touchedUsers.add(sender);
    return {
      ...{ seq: Number(placed[n]!.seq), id, sender, sentAtMs: placed[n]!.sentAtMs, imported },
      ...{ expiresAtMs: Number(expiresAtMs), said: digestOf(content), traits: traitsOf(content) },
      edited: false,
    };
  });
  conversation.add(stored, imported);
}

/** Why messages are refused, if they are. */
export function refusal(
  conversation: ModelConversation,
  messages: readonly Message[],
): string | undefined {
  if (conversation.deleted) return 'GROUP_DELETED';
  if (!conversation.created) return undefined;
  const strange = messages.some(({ sender }) => !conversation.isMember(sender));
  return strange ? 'NOT_A_MEMBER' : undefined;
}

function newMessages(
  life: Life,
  random: Random,
  conversation: ModelConversation,
  most: number,
): Message[] {
  return Array.from({ length: random.between(1, most) }, () =>
    newMessage(life, random, speaker(life, random, conversation)),
  );
}

/** A message of one sender. */
export function newMessage(life: Life, random: Random, sender: string): Message {
  const id = life.fresh('message');
  const nowMs = Date.now();
  const times = [0, nowMs, nowMs - random.between(0, 100_000), random.between(1, 1_000_000)];
  const expiresAtMs = random.oneIn(20) ? BigInt(nowMs + 7 * 86_400_000) : 0n;
  const sentAtMs = BigInt(random.pick(times));
  const content: MessageInitShape<typeof ContentSchema> = randomContent(random, id);
  return create(MessageSchema, { id, sender, sentAtMs, expiresAtMs, content });
}

/** Who may say something, mostly. */
function speaker(life: Life, random: Random, conversation: ModelConversation): string {
  if (conversation.name.pair) return random.pick(conversation.name.pair);
  const members = membersOf(conversation);
  const stranger = members.length === 0 || random.oneIn(60);
  return stranger ? random.pick(life.people) : random.pick(members);
}

/** A member or former one, one of a pair, and now and then a stranger. */
export function anybody(life: Life, random: Random, conversation: ModelConversation): string {
  if (conversation.name.pair) return random.pick(conversation.name.pair);
  const known = [...conversation.members.keys()];
  return known.length === 0 || random.oneIn(15) ? random.pick(life.people) : random.pick(known);
}

/** Messages that will be there as long as a call takes; mostly from the end. */
export function pickMessages(
  random: Random,
  conversation: ModelConversation,
  count: number,
): ModelMessage[] {
  const { lastSeq, floor } = conversation;
  const from = random.oneIn(4) ? floor : Math.max(floor, lastSeq - 40);
  if (lastSeq < from) return [];
  const picked = new Set<ModelMessage>();
  for (let n = 0; n < count; n++) {
    const message = conversation.messages[random.between(from, lastSeq) - 1];
    if (message && !conversation.mayBeGone(message, Date.now() + callMs)) picked.add(message);
  }
  return [...picked];
}

/** Takes messages for one operation; undefined where another has one of them. */
export function take(
  life: Life,
  conversation: ModelConversation,
  messages: readonly ModelMessage[],
): Disposable | undefined {
  const busy = life.busy.get(conversation) ?? new Set();
  life.busy.set(conversation, busy);
  const seqs = messages.map(({ seq }) => seq);
  if (seqs.some((seq) => busy.has(seq))) return undefined;
  for (const seq of seqs) busy.add(seq);
  return {
    [Symbol.dispose]() {
      for (const seq of seqs) busy.delete(seq);
    },
  };
}

/** Notes a revision that was told. */
export function rise(conversation: ModelConversation, revision: bigint): void {
  if (revision > conversation.revision) conversation.revision = revision;
}
