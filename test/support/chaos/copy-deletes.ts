import { addressOf, agree } from './copy-life.ts';
import type { ModelConversation } from './copy-model.ts';
import { seenBy, sees, viewOf } from './copy-view.ts';
import { anybody, type Operation, pickMessages, rise, take } from './copy-writes.ts';

/** Deletes a few messages for everyone, beside others who write. */
export const deleteForEveryone: Operation = async (life, random, signal) => {
  const conversation = life.pick(random);
  using _ = await life.enter(conversation, false);
  const messages = pickMessages(random, conversation, random.between(1, 5));
  if (messages.length === 0) return;
  using taken = take(life, conversation, messages);
  if (!taken) return;
  const service = conversation.name.group !== undefined && random.oneIn(10);
  const sender = messages[0]?.sender || anybody(life, random, conversation);
  const user = service ? '' : random.oneIn(3) ? anybody(life, random, conversation) : sender;
  const seqs = messages.map(({ seq }) => seq);
  const request = { ...addressOf(conversation, user), scope: 'for-everyone', seqs } as const;
  const outcome = await life.call(random, signal, ({ history }) =>
    history.delete(request, { signal }),
  );
  const seen = messages.filter(
    (message) => user === '' || sees(conversation, user, message, Date.now()),
  );
  const may = seen.filter((message) => mayDelete(conversation, user, message.sender));
  const stranger = strangerTo(conversation, user);
  agree(
    conversation,
    'delete',
    outcome,
    stranger ?? (may.length < seen.length ? 'NOT_THE_SENDER' : undefined),
  );
  if (!outcome.value) return;
  const due = may.filter(({ said }) => said !== undefined).length;
  if (outcome.value.deleted > BigInt(due)) throw new Error(`deleted ${outcome.value.deleted}`);
  rise(conversation, outcome.value.revision);
  for (const message of may) conversation.bury(message);
};

function mayDelete(conversation: ModelConversation, user: string, sender: string): boolean {
  if (user === '' || sender === user) return true;
  const isGroup = conversation.name.group !== undefined;
  return isGroup && (conversation.members.get(user)?.role ?? 0) >= 2;
}

/** The refusal of whoever never was in a group, or of a group that was deleted. */
function strangerTo(conversation: ModelConversation, user: string): string | undefined {
  if (conversation.name.group === undefined) return undefined;
  if (user === '') return conversation.deleted ? 'GROUP_NOT_FOUND' : undefined;
  return viewOf(conversation, user) ? undefined : 'NOT_A_MEMBER';
}

/** Deletes for everyone all of a user's messages up to a seq. */
export const deleteForEveryoneUpTo: Operation = async (life, random, signal) => {
  const conversation = life.pick(random);
  using _ = await life.enter(conversation, true);
  const user = anybody(life, random, conversation);
  const upToSeq = Math.min(conversation.lastSeq, conversation.floor + random.between(0, 60));
  if (upToSeq === 0) return;
  const request = { ...addressOf(conversation, user), scope: 'for-everyone', upToSeq } as const;
  const outcome = await life.call(random, signal, ({ history }) =>
    history.delete(request, { signal }),
  );
  agree(conversation, 'delete', outcome, strangerTo(conversation, user));
  if (!outcome.value) return;
  rise(conversation, outcome.value.revision);
  const { floor } = conversation;
  for (const message of seenBy(conversation, user, floor, Date.now())) {
    if (message.seq > upToSeq) break;
    if (mayDelete(conversation, user, message.sender)) conversation.bury(message);
  }
};

/** Hides a few messages from one user. */
export const deleteForMe: Operation = async (life, random, signal) => {
  const conversation = life.pick(random);
  using _ = await life.enter(conversation, false);
  const messages = pickMessages(random, conversation, random.between(1, 4));
  if (messages.length === 0) return;
  using taken = take(life, conversation, messages);
  if (!taken) return;
  const user = anybody(life, random, conversation);
  const seqs = messages.map(({ seq }) => seq);
  const request = { ...addressOf(conversation, user), scope: 'for-me', seqs } as const;
  const outcome = await life.call(random, signal, ({ history }) =>
    history.delete(request, { signal }),
  );
  agree(conversation, 'hide', outcome, strangerTo(conversation, user));
  if (!outcome.value) return;
  rise(conversation, outcome.value.revision);
  const seen = messages.filter((message) => sees(conversation, user, message, Date.now()));
  for (const { seq } of seen) conversation.members.get(user)?.hidden.add(seq);
  life.touchedUsers.add(user);
};

/** Hides the beginning of a conversation from one user. */
export const deleteForMeUpTo: Operation = async (life, random, signal) => {
  const conversation = life.pick(random);
  using _ = await life.enter(conversation, true);
  const user = anybody(life, random, conversation);
  const view = viewOf(conversation, user);
  const far = random.oneIn(10) ? conversation.lastSeq : (view?.floor ?? 1);
  const upToSeq = far + random.between(0, 20);
  const request = { ...addressOf(conversation, user), scope: 'for-me', upToSeq } as const;
  const outcome = await life.call(random, signal, ({ history }) =>
    history.delete(request, { signal }),
  );
  agree(conversation, 'hide', outcome, strangerTo(conversation, user));
  const member = conversation.members.get(user);
  if (!outcome.value || !view || !member) return;
  rise(conversation, outcome.value.revision);
  member.hiddenUpTo = Math.max(member.hiddenUpTo, Math.min(upToSeq, view.lastSeq));
  life.touchedUsers.add(user);
};

/** Marks as read by one device, or as delivered; now and then by two at once. */
export const mark: Operation = async (life, random, signal) => {
  const conversation = life.pick(random);
  using _ = await life.enter(conversation, true);
  const user = anybody(life, random, conversation);
  const view = viewOf(conversation, user);
  const lastSeq = view?.lastSeq ?? 0;
  const seq = random.oneIn(3) ? lastSeq + random.between(0, 3) : random.between(0, lastSeq);
  const request = { ...addressOf(conversation, user), user, seq };
  const read = !random.oneIn(3);
  const devices = random.oneIn(10) ? 2 : 1;
  const calls = Array.from({ length: devices }, () =>
    life.call(random, signal, ({ history }) =>
      read ? history.markRead(request, { signal }) : history.markDelivered(request, { signal }),
    ),
  );
  for (const outcome of await Promise.all(calls)) {
    agree(conversation, 'mark', outcome, strangerTo(conversation, user));
    const member = conversation.members.get(user);
    if (!outcome.value || !view) continue;
    const due = Math.min(seq, lastSeq);
    if (member) {
      if (read && due > member.read) member.marked = due;
      if (read) member.read = Math.max(member.read, due);
      member.delivered = Math.max(member.delivered, due);
    }
    const now = viewOf(conversation, user);
    const { readSeq, deliveredSeq } = outcome.value;
    if (Number(readSeq) !== now?.read || Number(deliveredSeq) !== now.delivered) {
      throw new Error(
        `marks are ${readSeq} and ${deliveredSeq}, not ${now?.read} and ${now?.delivered}`,
      );
    }
    life.touchedUsers.add(user);
  }
};
