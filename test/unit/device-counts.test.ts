import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { beforeEach, expect, test } from 'vitest';
import type { ConversationChange } from '../../clients/device/local/conversation-row.ts';
import { countsOf } from '../../clients/device/local/counts.ts';
import { LocalStore } from '../../clients/device/local/local-store.ts';
import { rowOf } from '../../clients/device/local/message.ts';
import { openDatabase } from '../../clients/device/local/open.ts';
import {
  CallKind,
  CallOutcome,
  MessageSchema,
} from '../../clients/gen/backscroll/history/v1/message_pb.ts';

const NOW = 1_000_000;

let store: LocalStore;
let id: number;
beforeEach(() => {
  store = new LocalStore(openDatabase(':memory:', 'alice'), 'alice');
  ({ id } = store.ensureConversation({ peer: 'bob' }));
});

/** What the service tells of the conversation. */
const tell = (change: ConversationChange) => store.changeConversation(id, change);

/** Bob's messages, from a seq to another, unless they say otherwise. */
function hold(from: number, to: number, init: MessageInitShape<typeof MessageSchema> = {}): void {
  for (let seq = from; seq <= to; seq++) {
    const message = create(MessageSchema, init);
    message.seq = BigInt(seq);
    message.sender ||= 'bob';
    store.putMessages({ id, floor_seq: 1 }, [rowOf(message, 'alice')]);
  }
  store.addKnown(id, '', { from, to });
}

const unread = () => countsOf(store, store.conversationOf(id), NOW).unread;

test('what others sent and is to be seen counts, once it is held', () => {
  expect(unread()).toBe(0);
  hold(1, 3);
  hold(4, 4, { sender: 'alice' });
  hold(5, 5, { deletedAtMs: 1n });
  hold(6, 6, { expiresAtMs: BigInt(NOW) });
  const call = { kind: CallKind.VOICE, outcome: CallOutcome.ANSWERED };
  hold(7, 7, { content: { call } });
  hold(8, 8, { content: { call: { ...call, outcome: CallOutcome.MISSED } } });
  expect(unread()).toBe(4);
  tell({ read_seq: 2 });
  expect(unread()).toBe(2);
  store.raiseFloor(id, 4);
  expect(unread()).toBe(1);
  tell({ read_seq: 8 });
  expect(unread()).toBe(0);
});

test('what the service counted counts, less what was read since, and with what came', () => {
  tell({ read_seq: 10, unread_count: 5, unread_from_seq: 10, unread_to_seq: 15, last_seq: 15 });
  expect(unread()).toBe(5);
  hold(16, 17);
  expect(unread()).toBe(7);
  hold(11, 12);
  tell({ read_seq: 12 });
  expect(unread()).toBe(5);
  tell({ read_seq: 14 });
  // 15 at most, and the two that came.
  expect(unread()).toBe(3);
  tell({ read_seq: 15 });
  expect(unread()).toBe(2);
});

test('where all is held, it counts less if it was deleted, and not more than the service counted', () => {
  tell({ unread_count: 5, unread_to_seq: 5, last_seq: 5 });
  hold(1, 5);
  hold(2, 3, { deletedAtMs: 1n, revision: 1n });
  expect(unread()).toBe(3);
  // Most of these were imported, and count as read.
  tell({ unread_count: 2 });
  expect(unread()).toBe(2);
  tell({ read_seq: 4 });
  expect(unread()).toBe(1);
});

test('more than a thousand are 1,001, until fewer are left', () => {
  tell({ unread_count: 1_001, unread_to_seq: 5_000, last_seq: 5_000 });
  expect(unread()).toBe(1_001);
  hold(5_001, 5_002);
  expect(unread()).toBe(1_001);
  tell({ read_seq: 4_700 });
  expect(unread()).toBe(302);
});
