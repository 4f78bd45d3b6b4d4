import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Conversation } from '../../clients/history/conversation.ts';
import { HistoryClient } from '../../clients/history/history-client.ts';
import type { Anchor, Filter, MessageInit } from '../../clients/history/history-requests.ts';
import { HistoryHarness } from './history-harness.ts';

const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 0, 1);

/** Seqs 1 to 8, one a day. */
const CONTENTS: readonly MessageInit['content'][] = [
  { text: 'one' },
  { text: 'two', thread: 'lunch' },
  { files: [{ url: 'https://files.example/cat.jpg' }] },
  { call: { kind: 1, outcome: 2 } },
  { text: 'five', thread: 'lunch' },
  { call: { kind: 2, outcome: 1, durationMs: 1000n } },
  { text: 'seven', files: [{ url: 'https://files.example/dog.jpg' }] },
  { text: 'eight' },
];

describe.each(['sqlite', 'mysql'] as const)('HistoryClient: %s', (engine) => {
  let harness: HistoryHarness;
  let client: HistoryClient;
  beforeAll(async () => {
    harness = await HistoryHarness.start(engine);
    client = new HistoryClient(harness.server.address);
  });
  afterAll(async () => {
    client.close();
    await harness[Symbol.asyncDispose]();
  });

  /** Eight messages that a user said to another, and both views of them. */
  async function chat(user: string, peer: string) {
    const messages = CONTENTS.map((content, n) => ({
      ...{ id: `m-${n + 1}`, sentAtMs: BigInt(START_MS + n * DAY_MS), content },
    }));
    await client.append({ user, peer, messages });
    return { mine: { user, peer }, theirs: { user: peer, peer: user } };
  }

  const seqsOf = async (request: Conversation & Anchor & { filter?: Filter; count?: number }) => {
    const { messages } = await client.sync({ ...request, order: 'oldest-first' }).collect();
    return messages.map(({ seq }) => Number(seq));
  };

  it('reads pages at every anchor', async () => {
    const { mine } = await chat('anchors', 'peer');
    const at = (anchor: Anchor) => seqsOf({ ...mine, ...anchor, count: 3 });
    expect(await at({})).toEqual([6, 7, 8]);
    expect(await at({ beforeSeq: 4 })).toEqual([1, 2, 3]);
    expect(await at({ afterSeq: 0n })).toEqual([1, 2, 3]);
    expect(await at({ aroundSeq: 4 })).toEqual([3, 4, 5]);
    expect(await at({ aroundSeq: 8n })).toEqual([6, 7, 8]);
    expect(await at({ aroundTimeMs: START_MS + 3.5 * DAY_MS })).toEqual([4, 5, 6]);
    expect(await at({ aroundMessageId: 'm-2' })).toEqual([1, 2, 3]);
    await expect(at({ aroundMessageId: 'm-9' })).rejects.toMatchObject({
      ...{ code: status.NOT_FOUND, reason: 'MESSAGE_NOT_FOUND' },
    });
    const { messages } = await client.sync({ ...mine, count: 2 }).collect();
    expect(messages.map(({ seq }) => seq)).toEqual([8n, 7n]);
    const all = client.sync({ ...mine, count: Number.MAX_SAFE_INTEGER });
    expect((await all.collect()).result).toMatchObject({ count: 8n, fromSeq: 1n, toSeq: 8n });
  });

  it('reads what filters let through', async () => {
    const { mine, theirs } = await chat('filters', 'peer');
    const kinds = (...some: NonNullable<Filter['kinds']>) =>
      seqsOf({ ...mine, filter: { kinds: some } });
    expect(await kinds('text')).toEqual([1, 2, 5, 7, 8]);
    expect(await kinds('file', 'call')).toEqual([3, 4, 6, 7]);
    expect(await kinds('outgoing-call')).toEqual([4, 6]);
    expect(await kinds('missed-call', 'incoming-call')).toEqual([]);
    expect(await seqsOf({ ...theirs, filter: { kinds: ['missed-call'] } })).toEqual([4]);
    expect(await seqsOf({ ...theirs, filter: { kinds: ['incoming-call'] } })).toEqual([4, 6]);
    expect(await seqsOf({ ...mine, filter: { thread: 'lunch' } })).toEqual([2, 5]);
    const both = { kinds: ['text'], thread: 'lunch' } as const;
    expect(await seqsOf({ ...mine, filter: both, beforeSeq: 5 })).toEqual([2]);
  });

  it('edits by seq and by id, against a revision, and again', async () => {
    const { mine, theirs } = await chat('edits', 'peer');
    const first = await client.edit({ ...mine, seq: 1, content: { text: 'uno' } });
    expect(first).toMatchObject({ message: { seq: 1n, content: { text: 'uno' } }, revision: 1n });
    const edit = { ...mine, messageId: 'm-1', content: { text: 'UNO' }, expectedRevision: 1n };
    const second = await client.edit(edit);
    expect(await client.edit(edit)).toEqual(second);
    await expect(client.edit({ ...edit, content: {} })).rejects.toMatchObject({
      ...{ code: status.ABORTED, reason: 'REVISION_MISMATCH' },
    });
    await expect(client.edit({ ...theirs, seq: 1, content: {} })).rejects.toMatchObject({
      ...{ code: status.PERMISSION_DENIED, reason: 'NOT_THE_SENDER' },
    });
  });

  it('deletes for everyone and for one, and tells both as changes', async () => {
    const { mine, theirs } = await chat('deletes', 'peer');
    const everyone = { ...mine, scope: 'for-everyone', seqs: [2, 3n] } as const;
    expect(await client.delete(everyone)).toMatchObject({ deleted: 2n, revision: 1n });
    expect(await client.delete(everyone)).toMatchObject({ deleted: 0n, revision: 1n });
    await client.delete({ ...theirs, scope: 'for-me', seqs: [5] });
    const { messages, hiddenSeqs, result } = await client
      .changes({ ...theirs, sinceRevision: 0 })
      .collect();
    expect(messages.map(({ seq, content }) => [seq, content])).toEqual([
      [2n, undefined],
      [3n, undefined],
    ]);
    expect(hiddenSeqs).toEqual([5n]);
    expect(result).toMatchObject({ revision: 2n, lastSeq: 8n, floorSeq: 1n });
    const later = client.changes({ ...theirs, sinceRevision: result.revision });
    expect(await later.collect()).toMatchObject({ messages: [], hiddenSeqs: [] });
    const hidden = (await client.changes({ ...mine, sinceRevision: 0 }).collect()).hiddenSeqs;
    expect(hidden).toEqual([]);
    await client.delete({ ...theirs, scope: 'for-me', upToSeq: 6 });
    expect(await seqsOf(theirs)).toEqual([7, 8]);
    await expect(client.edit({ ...mine, seq: 2, content: {} })).rejects.toMatchObject({
      ...{ code: status.FAILED_PRECONDITION, reason: 'MESSAGE_DELETED' },
    });
    await expect(client.changes({ ...mine, sinceRevision: 99 }).collect()).rejects.toMatchObject({
      ...{ code: status.FAILED_PRECONDITION, reason: 'RESYNC_REQUIRED' },
    });
  });

  it('raises marks, which the peer then sees', async () => {
    const { mine, theirs } = await chat('marks', 'peer');
    const delivered = await client.markDelivered({ ...theirs, seq: 5 });
    expect(delivered).toMatchObject({ readSeq: 0n, deliveredSeq: 5n });
    const read = await client.markRead({ ...theirs, seq: 3n });
    expect(read).toMatchObject({ readSeq: 3n, deliveredSeq: 5n });
    expect(await client.markRead({ ...theirs, seq: 1 })).toEqual(read);
    const { result } = await client.sync({ ...mine, count: 1 }).collect();
    expect(result).toMatchObject({ marks: { readSeq: 8n }, peerMarks: { readSeq: 3n } });
  });

  it('lists the inbox page by page, and what changed for the user since', async () => {
    const peers = ['a', 'b', 'c', 'd', 'e'];
    for (const peer of peers) {
      await client.append({ user: peer, peer: 'inbox', messages: [{ content: { text: peer } }] });
    }
    const inbox = client.inbox({ user: 'inbox', pageSize: 2 });
    const sizes: number[] = [];
    for await (const page of inbox.pages()) sizes.push(page.conversations.length);
    expect(sizes[0]).toBe(2);
    expect(sizes.length).toBeGreaterThan(2);
    const { conversations, userRevision } = await inbox.collect();
    const names = conversations.map(({ conversation }) => conversation.value);
    expect(names).toEqual([...peers].reverse());
    expect(conversations[0]).toMatchObject({ unreadCount: 1, lastMessage: { seq: 1n } });

    await client.markRead({ user: 'inbox', peer: 'c', seq: 1 });
    const since: (string | undefined)[] = [];
    const changed = client.inbox({ user: 'inbox', sinceUserRevision: userRevision });
    for await (const { conversation, unreadCount } of changed) {
      since.push(conversation.value);
      expect(unreadCount).toBe(0);
    }
    expect(since).toEqual(['c']);
    await expect(client.inbox({ user: '' }).collect()).rejects.toMatchObject({
      ...{ reason: 'MISSING_FIELD', fields: [expect.objectContaining({ field: 'user' })] },
    });
  });
});
