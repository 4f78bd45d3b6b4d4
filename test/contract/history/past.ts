import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  CallKind,
  CallOutcome,
  type Message,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Database, Session } from '../../../services/history/store/database.ts';
import { type Interval, writeIntervals } from '../../../services/history/store/intervals.ts';
import type { Conversation } from '../../../services/history/store/model.ts';
import { HIDDEN, MEMBER } from '../../../services/history/store/tables.ts';
import type { Random } from '../../support/random.ts';
import { appendAll, encodedFor } from './messages.ts';
import { setMember } from './raw-rows.ts';

/** What happened in a conversation, as one user of it may look back on it. */
export interface Past {
  readonly conversation: Conversation;
  /** Whose view it is; empty for a service that sees the whole group. */
  readonly user: string;
  /** By seq, from 1 on: as a reader gets them. */
  readonly messages: readonly Message[];
  /** Retention removed what stood below. */
  readonly floorSeq: number;
  readonly intervals: readonly Interval[];
  readonly hiddenUpToSeq: number;
  readonly hidden: readonly number[];
}

/** The moment at which a past is looked at: messages expire before and after it. */
export const NOW_MS = 1_700_000_000_000;

/** Threads in which messages of a random past stand. */
export const THREADS = ['', 'a', 'A'] as const;

/** Something that might have happened to `size` messages. */
export function randomPast(
  random: Random,
  conversation: Conversation,
  user: string,
  size: number,
): Past {
  const senders =
    conversation.kind === 'pair' ? [...conversation.names, ''] : ['alice', 'bob', 'zoe', ''];
  const rarity = random.pick([1, 3, 30]);
  // Some texts are so long that pages are read in several pieces.
  const longest = size <= 40 && random.oneIn(5) ? 150_000 : 5_000;
  const messages = Array.from({ length: size }, (_, n) => {
    const message = randomMessage(random, senders, rarity, longest);
    return create(MessageSchema, { ...message, id: `m${n + 1}`, seq: BigInt(n + 1) });
  });
  const isMember = user !== '';
  return {
    conversation,
    user,
    messages,
    floorSeq: random.oneIn(3) ? random.between(1, size + 1) : 1,
    intervals: isMember && random.oneIn(2) ? randomIntervals(random, size) : [{ from: 1 }],
    hiddenUpToSeq: isMember && random.oneIn(4) ? random.between(0, size) : 0,
    hidden: isMember && random.oneIn(2) ? randomSeqs(random, size) : [],
  };
}

function randomMessage(
  random: Random,
  senders: readonly string[],
  rarity: number,
  longest: number,
): MessageInitShape<typeof MessageSchema> {
  const sent = {
    sender: random.pick(senders),
    sentAtMs: BigInt(random.between(-20, 20) + (random.oneIn(50) ? 10_000 : 0)),
    ...(random.oneIn(4 * rarity) && { expiresAtMs: BigInt(NOW_MS + random.between(-1, 1)) }),
  };
  if (random.oneIn(8)) return { ...sent, deletedAtMs: 5n, revision: 3n };
  const outcome = random.pick([CallOutcome.ANSWERED, CallOutcome.MISSED]);
  return {
    ...sent,
    content: {
      text: random.oneIn(4)
        ? ''
        : 'x'.repeat(random.oneIn(longest > 5_000 ? 3 : 100) ? longest : 3),
      files: random.oneIn(2 * rarity) ? [{ name: 'f' }] : [],
      thread: random.oneIn(2 * rarity) ? random.pick(THREADS) : '',
      ...(random.oneIn(2 * rarity) && { call: { kind: CallKind.VOICE, outcome } }),
    },
  };
}

function randomIntervals(random: Random, size: number): Interval[] {
  const ends = [...new Set(randomSeqs(random, size))].sort((a, b) => a - b).slice(0, 6);
  const intervals: Interval[] = [];
  for (let n = 0; n + 1 < ends.length; n += 2) intervals.push({ from: ends[n]!, to: ends[n + 1]! });
  // One more end begins an open interval: the user is in the group now.
  if (ends.length % 2 === 1) intervals.push({ from: ends.at(-1)! });
  else if (random.oneIn(3)) intervals.push({ from: size + 1 });
  return intervals.length > 0 ? intervals : [{ from: 1 }];
}

function randomSeqs(random: Random, size: number): number[] {
  if (size === 0) return [];
  const from = random.between(1, size);
  if (random.oneIn(3)) {
    const length = Math.min(size - from + 1, random.between(1, 200));
    return Array.from({ length }, (_, n) => from + n);
  }
  return Array.from({ length: random.between(0, 12) }, () => random.between(1, size));
}

/** Makes it so in a database. */
export async function writePast(database: Database, past: Past): Promise<void> {
  const { conversation, user, messages, intervals } = past;
  const appended = encodedFor(conversation, ...messages);
  if (appended.length > 0) await appendAll(database, conversation, appended);
  await database.run((session) => deleteMessages(session, past));
  if (user === '') return;
  const role = intervals.at(-1)!.to === undefined ? 1 : 0;
  const name = Buffer.from(user);
  const nothing = Buffer.alloc(0);
  const row = [conversation.id, name, role, writeIntervals(intervals), 7, 1, 2, 0, 0, nothing];
  await database.run(async (session) => {
    await session.insert(MEMBER, [row], {
      ...{ role: 'replace', intervals: 'replace', epoch: 'replace' },
      ...{ read_seq: 'replace', delivered_seq: 'replace' },
    });
    await session.insert(
      HIDDEN,
      past.hidden.map((seq) => [conversation.id, name, seq]),
      'keep',
    );
  });
  const settings = `hides = ${past.hidden.length > 0 ? 1 : 0}, hidden_up_to_seq = ${past.hiddenUpToSeq}`;
  await setMember(database, conversation.id, user, settings);
}

async function deleteMessages(session: Session, { conversation: { id }, ...past }: Past) {
  for (const message of past.messages.filter(({ deletedAtMs }) => deletedAtMs > 0n)) {
    const { seq, id: messageId, sender, sentAtMs, expiresAtMs, deletedAtMs, revision } = message;
    const kept = create(MessageSchema, { id: messageId, sender, sentAtMs, expiresAtMs });
    const body = Buffer.from(toBinary(MessageSchema, kept));
    await session.write(
      `UPDATE message SET kinds = 0, deleted_at_ms = ?, revision = ?, body = ?
       WHERE conversation_id = ? AND seq = ?`,
      [deletedAtMs, revision, body, id, seq],
    );
    await session.write('DELETE FROM thread WHERE conversation_id = ? AND seq = ?', [id, seq]);
  }
  const below = [id, past.floorSeq];
  await session.write('UPDATE conversation SET floor_seq = ? WHERE conversation_id = ?', [
    ...[past.floorSeq, id],
  ]);
  for (const table of ['message', 'thread', 'expiry']) {
    await session.write(`DELETE FROM ${table} WHERE conversation_id = ? AND seq < ?`, below);
  }
}
