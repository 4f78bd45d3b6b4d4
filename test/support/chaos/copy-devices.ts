import { MemberState } from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { Copy, SecondReader } from '../second-reader.ts';
import { type Asking, type Digests, listedAs, sweptMs } from './copy-checks.ts';
import { keyOf, type ModelConversation } from './copy-model.ts';
import { refreshed } from './copy-people.ts';
import { seenBy, viewOf } from './copy-view.ts';
import { pause } from './patience.ts';

/** Brings a device up to date, and holds all that it claims to know to what there is. */
export async function checkDevice(
  asking: Asking,
  device: SecondReader,
  conversations: readonly ModelConversation[],
  digestsOf: (conversation: ModelConversation) => Promise<Digests>,
): Promise<void> {
  const { life, random, signal } = asking;
  const { user } = device;
  await refreshed(life, device, random, signal);
  const mine = conversations.filter(({ members }) => members.has(user));
  for (const conversation of mine) {
    const copy = device.copies.get(listedAs(conversation, user));
    if (!viewOf(conversation, user)) {
      if (copy) throw new Error(`${user} holds ${keyOf(conversation.name)}, which is gone`);
      continue;
    }
    if (!copy) throw new Error(`a device of ${user} lacks ${keyOf(conversation.name)}`);
    const digests = await digestsOf(conversation);
    checkCopy(conversation, user, copy, digests);
  }
  if (device.copies.size > mine.length) throw new Error(`${user} holds more than their own`);
  await untilNews(asking, device, mine);
}

function checkCopy(
  conversation: ModelConversation,
  user: string,
  { known, floor, messages }: Copy,
  digests: Digests,
): void {
  const nowMs = Date.now();
  const due = seenBy(conversation, user, floor, nowMs).filter(({ seq }) =>
    known.some(({ from, to }) => from <= seq && seq <= to),
  );
  const held = [...messages].filter(
    ([, { expiresAtMs }]) => expiresAtMs === 0 || expiresAtMs > nowMs,
  );
  const dueSeqs = new Set(due.map(({ seq }) => seq));
  const lost = [...dueSeqs].filter((seq) => !messages.has(seq));
  const more = held.filter(([seq]) => !dueSeqs.has(seq)).map(([seq]) => seq);
  const stale = held
    .filter(([seq, { digest }]) => dueSeqs.has(seq) && digests.get(seq) !== digest)
    .map(([seq]) => seq);
  if (lost.length + more.length + stale.length === 0) return;
  throw new Error(
    `${keyOf(conversation.name)}: a device of ${user} lacks [${lost}], holds [${more}] besides, and has old [${stale}]`,
  );
}

/** What changed for the user alone must have reached their own revision once the sweep has run. */
async function untilNews(
  { life, random, signal }: Asking,
  device: SecondReader,
  conversations: readonly ModelConversation[],
): Promise<void> {
  const endMs = Date.now() + sweptMs;
  for (;;) {
    const missing = conversations.filter((conversation) => !isTold(device, conversation));
    if (missing.length === 0) return;
    if (Date.now() > endMs) {
      const names = missing.map(({ name }) => keyOf(name));
      throw new Error(`${device.user} was never told of changes in ${names}`);
    }
    await pause(signal);
    await refreshed(life, device, random, signal);
  }
}

function isTold({ news, user }: SecondReader, conversation: ModelConversation): boolean {
  const told = news.get(listedAs(conversation, user));
  const view = viewOf(conversation, user);
  if (!view) return told === undefined || told.state === MemberState.GONE;
  if (!told || told.state === MemberState.GONE) return false;
  const member = conversation.members.get(user);
  const marked = Math.min(member?.marked ?? 0, view.lastSeq);
  return Number(told.epoch) === view.epoch && Number(told.readSeq) >= marked;
}
