import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  AppendRequestSchema,
  ImportRequestSchema,
  ImportRunSchema,
  Order,
  SyncRequestSchema,
} from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import {
  type CallOutcome,
  MessageSchema,
} from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import { HistoryHarness } from './history-harness.ts';

type Append = MessageInitShape<typeof AppendRequestSchema>;
type Sync = MessageInitShape<typeof SyncRequestSchema>;
type Import = MessageInitShape<typeof ImportRequestSchema>;
type Content = NonNullable<MessageInitShape<typeof MessageSchema>['content']>;

const peer = (value: string) => ({ case: 'peer', value }) as const;
const group = (value: string) => ({ case: 'group', value }) as const;
const pair = { user: 'alice', conversation: peer('bob') };
const hello = { content: { text: 'hello' } };

const withContent = (content: Content): Append => ({ ...pair, messages: [{ content }] });
const withRun = (run: MessageInitShape<typeof ImportRunSchema>): Import => ({ runs: [run] });

/** A message whose encoding as it is stored has exactly so many bytes. */
function messageOf(bytes: number, id = 'x') {
  const empty = { id, sender: 'alice', sentAtMs: 1n, content: { text: '' } };
  const padded = { ...empty, content: { text: 'x'.repeat(bytes - 30) } };
  const missing = bytes - toBinary(MessageSchema, create(MessageSchema, padded)).length;
  return { ...empty, content: { text: 'x'.repeat(bytes - 30 + missing) } };
}

describe('requests that are refused', () => {
  let history: HistoryHarness;
  beforeAll(async () => {
    history = await HistoryHarness.start('sqlite');
  });
  afterAll(() => history[Symbol.asyncDispose]());

  const invalid = (reason: string, ...fields: string[]) => ({
    code: status.INVALID_ARGUMENT,
    reason,
    fields: fields.map((field) => expect.objectContaining({ field })),
  });

  const syncs: [string, Sync, object][] = [
    ['nothing', {}, invalid('MISSING_FIELD', 'peer')],
    ['no user', { conversation: peer('bob') }, invalid('MISSING_FIELD', 'user')],
    ['no peer', { user: 'alice', conversation: peer('') }, invalid('MISSING_FIELD', 'peer')],
    ['no group', { conversation: group('') }, invalid('MISSING_FIELD', 'group')],
    ['a long name', { ...pair, user: 'ä'.repeat(128) }, invalid('TOO_LARGE', 'user')],
    ['a NUL in a name', { ...pair, user: 'a\0' }, invalid('INVALID_FIELD', 'user')],
    ['a DEL in a name', { ...pair, user: '\x7f' }, invalid('INVALID_FIELD', 'user')],
    ['a C1 control in a name', { ...pair, user: 'a\x85' }, invalid('INVALID_FIELD', 'user')],
    [
      'an end beside two sides',
      { ...pair, anchor: { case: 'aroundSeq', value: 5n }, untilSeq: 1n },
      invalid('INVALID_FIELD', 'until_seq'),
    ],
    ['an unknown order', { ...pair, order: 9 as Order }, invalid('INVALID_FIELD', 'order')],
    ['several faults', { conversation: peer('\n') }, invalid('MISSING_FIELD', 'user', 'peer')],
    [
      'a group that never was',
      { conversation: group('nowhere') },
      { code: status.NOT_FOUND, reason: 'GROUP_NOT_FOUND' },
    ],
    [
      'a group that never was, for a user',
      { user: 'alice', conversation: group('nowhere') },
      { code: status.PERMISSION_DENIED, reason: 'NOT_A_MEMBER' },
    ],
  ];
  it.each(syncs)('Sync: %s', async (_what, request, error) => {
    await expect(history.frames(request)).rejects.toMatchObject(error);
  });

  const appends: [string, Append, object][] = [
    ['no messages', pair, invalid('MISSING_FIELD', 'messages')],
    ['no conversation', { user: 'alice', messages: [hello] }, invalid('MISSING_FIELD', 'peer')],
    [
      'a sender from outside',
      { ...pair, messages: [hello, { ...hello, sender: 'eve' }] },
      invalid('INVALID_FIELD', 'messages[1].sender'),
    ],
    [
      'no sender in a group',
      { conversation: group('room'), messages: [hello] },
      invalid('MISSING_FIELD', 'messages[0].sender'),
    ],
    [
      'a long id',
      { ...pair, messages: [{ ...hello, id: 'x'.repeat(129) }] },
      invalid('TOO_LARGE', 'messages[0].id'),
    ],
    [
      'too many messages',
      { ...pair, messages: Array.from({ length: 501 }, () => hello) },
      invalid('TOO_LARGE', 'messages'),
    ],
    [
      'a large message',
      { ...pair, messages: [messageOf(256 * 1024 + 1)] },
      invalid('TOO_LARGE', 'messages[0]'),
    ],
    [
      'too many bytes',
      { ...pair, messages: [1, 2, 3, 4].map((n) => messageOf(230_401, `${n}`)) },
      invalid('TOO_LARGE', 'messages'),
    ],
    [
      'too many files',
      withContent({ files: Array.from({ length: 33 }, () => ({})) }),
      invalid('TOO_LARGE', 'messages[0].content.files'),
    ],
    [
      'a file with a long name and half a hash',
      withContent({ files: [{}, { name: 'x'.repeat(1_025), sha256: new Uint8Array(16) }] }),
      invalid(
        'TOO_LARGE',
        'messages[0].content.files[1].name',
        'messages[0].content.files[1].sha256',
      ),
    ],
    [
      'a large thumbnail',
      withContent({ files: [{ thumbnail: new Uint8Array(65_537) }] }),
      invalid('TOO_LARGE', 'messages[0].content.files[0].thumbnail'),
    ],
    [
      'a call of no kind',
      withContent({ call: { outcome: 1 } }),
      invalid('MISSING_FIELD', 'messages[0].content.call.kind'),
    ],
    [
      'a call with an unknown end',
      withContent({ call: { kind: 1, outcome: 77 as CallOutcome } }),
      invalid('INVALID_FIELD', 'messages[0].content.call.outcome'),
    ],
    [
      'a call with a nameless participant',
      withContent({ call: { kind: 1, outcome: 1, participants: ['alice', ''] } }),
      invalid('INVALID_FIELD', 'messages[0].content.call.participants[1]'),
    ],
    [
      'control characters in the names of a participant and of an answered sender',
      withContent({
        call: { kind: 1, outcome: 1, participants: ['alice', 'b\nob'] },
        reply: { sender: 'b\0b' },
      }),
      invalid(
        'INVALID_FIELD',
        'messages[0].content.call.participants[1]',
        'messages[0].content.reply.sender',
      ),
    ],
    [
      'a place off the Earth',
      withContent({ location: { latitudeDeg: 90.1, longitudeDeg: Number.NaN, accuracyM: -1 } }),
      invalid(
        'INVALID_FIELD',
        'messages[0].content.location.latitude_deg',
        'messages[0].content.location.longitude_deg',
        'messages[0].content.location.accuracy_m',
      ),
    ],
    [
      'a long excerpt, thread and scheme',
      withContent({
        reply: { excerpt: 'x'.repeat(4_097) },
        thread: 'x'.repeat(129),
        opaque: { scheme: 'x'.repeat(129) },
      }),
      invalid(
        'TOO_LARGE',
        'messages[0].content.reply.excerpt',
        'messages[0].content.thread',
        'messages[0].content.opaque.scheme',
      ),
    ],
  ];
  it.each(appends)('Append: %s', async (_what, request, error) => {
    await expect(history.append(request)).rejects.toMatchObject(error);
  });

  const imports: [string, Import, object][] = [
    ['no runs', {}, invalid('MISSING_FIELD', 'runs')],
    ['a run without messages', withRun(pair), invalid('MISSING_FIELD', 'runs[0].messages')],
    [
      'a message without an id',
      withRun({ ...pair, messages: [hello] }),
      invalid('MISSING_FIELD', 'runs[0].messages[0].id'),
    ],
    [
      'a sender from outside',
      withRun({ ...pair, messages: [{ id: 'x', sender: 'eve' }] }),
      invalid('INVALID_FIELD', 'runs[0].messages[0].sender'),
    ],
    [
      'a run without a user',
      withRun({ conversation: peer('bob'), messages: [{ id: 'x' }] }),
      invalid('MISSING_FIELD', 'runs[0].user'),
    ],
    [
      'too many runs',
      { runs: Array.from({ length: 65 }, () => ({ ...pair, messages: [{ id: 'x' }] })) },
      invalid('TOO_LARGE', 'runs'),
    ],
    [
      'too many messages',
      withRun({ ...pair, messages: Array.from({ length: 5_001 }, (_, n) => ({ id: `${n}` })) }),
      invalid('TOO_LARGE', 'runs'),
    ],
    [
      'too many bytes',
      withRun({
        ...pair,
        messages: Array.from({ length: 9 }, (_, n) => messageOf(240_000, `${n}`)),
      }),
      invalid('TOO_LARGE', 'runs'),
    ],
  ];
  it.each(imports)('Import: %s', async (_what, request, error) => {
    await expect(history.import(request)).rejects.toMatchObject(error);
  });

  it('stores nothing of what it refused', async () => {
    const [frame] = await history.frames(pair);
    expect(frame?.result?.lastSeq).toBe(0n);
  });
});

describe('requests at their limits', () => {
  it('are taken', async () => {
    await using history = await HistoryHarness.start('sqlite');
    const longest = 'ä'.repeat(127);
    const room = group(`${longest}x`);
    const largest = messageOf(256 * 1024);
    await history.append({ conversation: room, messages: [largest, { sender: longest }] });
    const full = Array.from({ length: 500 }, () => hello);
    await history.append({ ...pair, messages: full });
    const heavy = [1, 2, 3, 4].map((n) => messageOf(230_400, `${n}`));
    await history.append({ ...pair, messages: heavy });
    const frames = await history.frames({ conversation: room });
    const messages = frames.flatMap((frame) => frame.messages);
    expect(messages.map(({ content }) => content?.text.length)).toEqual([
      0,
      largest.content.text.length,
    ]);
    const whole = await history.frames({ ...pair, count: 2 ** 32 - 1 });
    expect(whole.at(-1)?.result?.count).toBe(504n);
  });
});
