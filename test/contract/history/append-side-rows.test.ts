import { create, type MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  CallKind,
  CallOutcome,
  type ContentSchema,
  type Message,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { pair } from '../../../services/history/domain/conversation.ts';
import { append } from '../../../services/history/store/append.ts';
import type { Conversation } from '../../../services/history/store/model.ts';
import { readStanding } from '../../../services/history/store/standing.ts';
import { engines, never, opened } from './engines.ts';
import { encodedFor, rulesOf } from './messages.ts';

type Content = MessageInitShape<typeof ContentSchema>;

/** Contents with the bits that filters find them by, and whether they are unread for nobody. */
const SHAPES: readonly (readonly [content: Content, kinds: number, quiet?: 'quiet'])[] = [
  [{}, 0],
  [{ text: 'x' }, 1],
  [{ files: [{ url: 'f' }] }, 2],
  [{ text: 'x', files: [{ url: 'f' }, { url: 'g' }] }, 3],
  [{ location: { name: 'here' } }, 0],
  [{ call: { kind: CallKind.VOICE, outcome: CallOutcome.MISSED } }, 4 + 8],
  [{ text: 'x', call: { kind: CallKind.VIDEO, outcome: CallOutcome.ANSWERED } }, 5, 'quiet'],
  [{ call: { kind: CallKind.VOICE, outcome: CallOutcome.DECLINED } }, 4, 'quiet'],
];

/** In a pair, a call of the first of the two has this bit, too. */
const BY_FIRST = 16;

interface Given {
  readonly shape: number;
  readonly sender: string;
  readonly thread: string;
  readonly sentAtMs: bigint;
  readonly expiresAtMs: bigint;
}

interface Stored extends Given {
  readonly imported: boolean;
  readonly message: Message;
}

const FAR_MS = 2n ** 52n;

const given = fc.record<Given>({
  shape: fc.nat(SHAPES.length - 1),
  sender: fc.constantFrom('alice', 'bob'),
  thread: fc.constantFrom('', '', 'one', 'two'),
  sentAtMs: fc.oneof(
    fc.bigInt({ min: -5n, max: 5n }),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  ),
  expiresAtMs: fc.constantFrom(0n, 0n, FAR_MS, FAR_MS + 1n),
});

/** What is appended in one call: batches, each of some messages over and over. */
const calls = fc.array(
  fc.record({
    imported: fc.boolean(),
    batches: fc.array(
      fc.record({
        messages: fc.array(given, { minLength: 1, maxLength: 5 }),
        count: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 200, max: 600 })),
        /** It begins with a message that stands already; or ends with another one under its id. */
        with: fc.constantFrom('new', 'new', 'repeat', 'conflict'),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  }),
  { minLength: 1, maxLength: 6 },
);

describe.each(engines)('what is written along with messages: %s', (name, open) => {
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
  });

  const rows = (table: string, columns: string, { id }: Conversation) =>
    context.database.run((session) =>
      session.rows<unknown[]>(
        `/* a test */ SELECT ${columns} FROM ${table} WHERE conversation_id = ? ORDER BY ${columns}`,
        [id],
      ),
    );

  it('is what the messages make of it, however they come', async () => {
    let conversations = 0;
    const holds = fc.asyncProperty(calls, async (calls) => {
      // Alice stands first in it.
      const chat = pair(`z${conversations}`, `y${conversations++}`);
      const stored: Stored[] = [];
      let made = 0;
      for (const { imported, batches } of calls) {
        const outcomes = await append(
          context.database,
          chat,
          batches.map((batch) => {
            const fresh = Array.from({ length: batch.count }, () => {
              const of = batch.messages[made % batch.messages.length]!;
              const message = messageOf(chat, of, `m${made++}`);
              return { ...of, imported, message };
            });
            const old = stored[0]?.message ?? fresh[0]!.message;
            const other = create(MessageSchema, { id: old.id, content: { text: 'another' } });
            const messages = fresh.map(({ message }) => message);
            if (batch.with === 'repeat') messages.unshift(old);
            if (batch.with === 'conflict') messages.push(other);
            else stored.push(...fresh);
            return encodedFor(chat, ...messages);
          }),
          rulesOf(imported ? { imported: { retentionMs: 0 } } : {}),
        );
        expect(outcomes.map(({ refused }) => refused?.why)).toEqual(
          batches.map((batch) => (batch.with === 'conflict' ? 'conflict' : undefined)),
        );
      }
      await expectRowsOf(chat, stored);
    });
    await fc.assert(holds, { numRuns: name === 'mysql' ? 12 : 25 });
  });

  async function expectRowsOf(chat: Conversation, stored: readonly Stored[]) {
    const seqs = stored.map((given, index) => ({ ...given, seq: index + 1 }));
    const kinds = seqs.map((given) => [given.seq, kindsOf(given)]);
    expect(await rows('message', 'seq, kinds', chat)).toEqual(kinds);
    expect(await rows('thread', 'seq, thread, kinds', chat)).toEqual(
      seqs
        .filter(({ thread }) => thread !== '')
        .map((given) => [given.seq, Buffer.from(given.thread), kindsOf(given)]),
    );
    const quiet = seqs.filter(({ shape }) => SHAPES[shape]![2]).map(({ seq }) => [seq]);
    expect(await rows('quiet', 'seq', chat)).toEqual(quiet);
    const expiring = seqs.filter(({ expiresAtMs }) => expiresAtMs > 0n);
    expect(await rows('expiry', 'seq, expires_at_ms, swept', chat)).toEqual(
      expiring.map(({ seq, expiresAtMs }) => [seq, Number(expiresAtMs), 0]),
    );
    const runs = runsOf(stored);
    expect(await rows('imported', 'from_seq, to_seq', chat)).toEqual(runs);
    const times = await rows('time_block', 'block, CAST(max_sent_at_ms AS CHAR)', chat);
    expect(times.map(([block, time]) => [block, String(time)])).toEqual(blocksOf(stored));

    const standing = await readStanding(context.database, chat.id, chat.names, never);
    if (stored.length === 0) return expect(standing).toBeUndefined();
    expect(standing?.conversation).toMatchObject({
      lastSeq: stored.length,
      lastSentAtMs: stored.at(-1)?.sentAtMs,
      expiring: expiring.length > 0,
      importedFromSeq: stored.at(-1)?.imported ? runs.at(-1)![0] : 0,
    });
    for (const [at, user] of ['alice', 'bob'].entries()) {
      const own = seqs.findLast(({ sender, imported }) => !imported && sender === user);
      const marks = { readSeq: own?.seq ?? 0, deliveredSeq: own?.seq ?? 0 };
      expect(standing?.members.get(chat.names[at]!)).toMatchObject(marks);
    }
  }
});

/** First and last seq of all that was imported in one go. */
function runsOf(stored: readonly Stored[]): [number, number][] {
  const runs: [number, number][] = [];
  for (const [index, { imported }] of stored.entries()) {
    const last = runs.at(-1);
    if (imported && last?.[1] === index) last[1] = index + 1;
    else if (imported) runs.push([index + 1, index + 1]);
  }
  return runs;
}

/** The highest time of each full block. */
function blocksOf(stored: readonly Stored[]): [number, string][] {
  const blocks: [number, string][] = [];
  for (let end = 256; end <= stored.length; end += 256) {
    const times = stored.slice(end - 256, end).map(({ sentAtMs }) => sentAtMs);
    blocks.push([end / 256 - 1, `${times.reduce((a, b) => (a > b ? a : b))}`]);
  }
  return blocks;
}

/** A message of `given`: Alice is the first of the pair, Bob the second. */
function messageOf(
  { names }: Conversation,
  { shape, sender, thread, sentAtMs, expiresAtMs }: Given,
  id: string,
): Message {
  const content = { ...SHAPES[shape]![0], thread };
  const name = names[sender === 'alice' ? 0 : 1]!;
  return create(MessageSchema, { id, sender: name, sentAtMs, expiresAtMs, content });
}

function kindsOf({ shape, sender }: Given): number {
  const kinds = SHAPES[shape]![1];
  return kinds >= 4 && sender === 'alice' ? kinds + BY_FIRST : kinds;
}
