import { once } from 'node:events';
import { create, toBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ImportRequestSchema,
  type ImportResponse,
} from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import { MessageSchema } from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import { pair } from '../../services/history/domain/conversation.ts';
import { encodeMessages } from '../../services/history/domain/message.ts';
import { append } from '../../services/history/store/append.ts';
import { eventually } from '../support/eventually.ts';
import { HistoryHarness } from './history-harness.ts';
import { bytesOf, collect } from './kit-harness.ts';

const peer = (value: string) => ({ case: 'peer', value }) as const;
const group = (value: string) => ({ case: 'group', value }) as const;
const said = (id: string, text = id) => ({ id, sender: 'alice', content: { text } });

describe.each(['sqlite', 'mysql'] as const)('calls of the history service: %s', (engine) => {
  let history: HistoryHarness;
  beforeAll(async () => {
    history = await HistoryHarness.start(engine);
  });
  afterAll(() => history[Symbol.asyncDispose]());

  it('appends, answers a repeat alike, and refuses another message under the id', async () => {
    const request = { user: 'alice', conversation: peer('bob'), messages: [said('1'), {}] };
    const { messages } = await history.append(request);
    expect(messages.map(({ seq, repeated }) => [seq, repeated])).toEqual([
      [1n, false],
      [2n, false],
    ]);
    expect(messages[1]?.id).toMatch(/^[\da-f-]{14}7/);
    const again = await history.append({ ...request, messages: [said('1')] });
    expect(again.messages).toEqual([{ ...messages[0], repeated: true }]);
    await expect(
      history.append({ ...request, messages: [said('2'), said('1', 'other')] }),
    ).rejects.toMatchObject({
      code: status.ALREADY_EXISTS,
      reason: 'MESSAGE_ID_CONFLICT',
      fields: [expect.objectContaining({ field: 'messages[1].id' })],
    });
    const [frame] = await history.frames({ user: 'bob', conversation: peer('alice') });
    expect(frame?.messages.map(({ seq }) => seq)).toEqual([2n, 1n]);
  });

  it('gives the time of arrival to messages without one, and leaves others theirs', async () => {
    const before = BigInt(Date.now());
    const { messages } = await history.append({
      user: 'alice',
      conversation: peer('times'),
      messages: [{}, { sentAtMs: -5n }],
    });
    const [arrived, given] = messages;
    expect(arrived!.sentAtMs).toBeGreaterThanOrEqual(before);
    expect(arrived!.sentAtMs).toBeLessThanOrEqual(BigInt(Date.now()));
    expect(given!.sentAtMs).toBe(-5n);
    const [frame] = await history.frames({ user: 'alice', conversation: peer('times') });
    expect(frame?.messages.map(({ sentAtMs }) => sentAtMs)).toEqual([-5n, arrived!.sentAtMs]);
  });

  it("ignores the service's own fields, and drops what nobody knows", async () => {
    const message = create(MessageSchema, said('1'));
    message.seq = 77n;
    message.revision = 5n;
    message.deletedAtMs = 1n;
    message.$unknown = [{ no: 999, wireType: 0, data: Uint8Array.of(1) }];
    await history.append({ user: 'alice', conversation: peer('own'), messages: [message] });
    const [frame] = await history.frames({ user: 'alice', conversation: peer('own') });
    const expected = create(MessageSchema, { ...said('1'), seq: 1n });
    expect(frame?.messages).toMatchObject([{ ...expected, sentAtMs: expect.anything() }]);
    expect(frame?.messages[0]?.$unknown).toBeUndefined();
  });

  it('gives back a stored body with a field that nobody knows', async () => {
    const chat = pair('alice', 'unknown');
    const [message] = encodeMessages([create(MessageSchema, said('1'))], chat);
    const unknown = Buffer.from([0xfa, 0xff, 0x03, 0x02, 0xca, 0xfe]);
    const body = Buffer.concat([message!.body, unknown]);
    const rules = { senders: 'any', nowMs: Date.now } as const;
    await append(history.replica.database, chat, [[{ ...message!, body }]], rules);
    const [frame] = await history.frames({ user: 'alice', conversation: peer('unknown') });
    const [synced] = frame!.messages;
    expect(Buffer.from(toBinary(MessageSchema, synced!)).includes(unknown)).toBe(true);
    expect(synced).toMatchObject({ seq: 1n, id: '1', content: { text: '1' } });
  });

  it('shows a group to its members, and to services', async () => {
    await history.append({ conversation: group('room'), messages: [said('1')] });
    for (const user of ['alice', '']) {
      const [frame] = await history.frames({ user, conversation: group('room') });
      expect(frame?.messages).toHaveLength(1);
    }
    await expect(
      history.frames({ user: 'bob', conversation: group('room') }),
    ).rejects.toMatchObject({ code: status.PERMISSION_DENIED, reason: 'NOT_A_MEMBER' });
  });

  it('answers each batch of an import before the next one comes', async () => {
    const call = history.client.import();
    const answers = call[Symbol.asyncIterator]() as AsyncIterator<ImportResponse>;
    for (const batch of [1n, 2n, 3n]) {
      const run = { conversation: group('import'), messages: [said(`${batch}`), said('always')] };
      call.write(bytesOf(ImportRequestSchema, { runs: [run] }));
      const added = batch === 1n ? 2 : 1;
      const { value } = await answers.next();
      expect(value).toMatchObject({ batch, added, repeated: 2 - added });
    }
    call.end();
    expect((await answers.next()).done).toBe(true);
  });

  it('applies nothing behind a refused batch, and answers those before it', async () => {
    const runs = (...messages: ReturnType<typeof said>[]) => ({
      runs: [{ conversation: group('refused'), messages }],
    });
    const call = history.client.import();
    for (const batch of [runs(said('1')), runs(said('2'), said('')), runs(said('3'))]) {
      call.write(bytesOf(ImportRequestSchema, batch));
    }
    const answers: ImportResponse[] = [];
    call.on('data', (answer: ImportResponse) => answers.push(answer));
    const [error] = await once(call, 'error');
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(answers).toMatchObject([{ batch: 1n, added: 1 }]);
    const [frame] = await history.frames({ conversation: group('refused') });
    expect(frame?.messages.map(({ id }) => id)).toEqual(['1']);
  });

  it('names the message of an import whose id is taken', async () => {
    const conversation = group('taken');
    const batch = { runs: [{ conversation, messages: [said('1')] }] };
    const conflict = { runs: [batch.runs[0]!, { conversation, messages: [said('1', 'other')] }] };
    await expect(history.import(batch, conflict)).rejects.toMatchObject({
      code: status.ALREADY_EXISTS,
      reason: 'MESSAGE_ID_CONFLICT',
      fields: [expect.objectContaining({ field: 'runs[1].messages[0].id' })],
    });
  });
});

describe.each(['sqlite', 'mysql'] as const)('a reader that goes: %s', (engine) => {
  const page = { conversation: group('long'), count: 100_000 };
  let history: HistoryHarness;
  beforeAll(async () => {
    history = await HistoryHarness.start(engine);
    await history.fill('long', 10_000);
  });
  afterAll(() => history[Symbol.asyncDispose]());

  it('frees what its stream held when it cancels', async () => {
    const call = history.sync(page);
    const ended = once(call, 'error');
    await once(call, 'data');
    call.cancel();
    expect((await ended)[0].code).toBe(status.CANCELLED);
    await history.holdsNothing();
  });

  it('holds no connection while it does not read, and nothing once it is gone', async () => {
    const call = history.sync(page);
    const ended = once(call, 'error');
    await once(call, 'readable'); // and reads no further
    await eventually(async () => {
      expect(await history.metric('grpc_server_in_flight')).toBe(1);
      expect(await history.metric('history_store_connections_in_use')).toBe(0);
    });
    call.cancel();
    await ended;
    await history.holdsNothing();
  });

  it('is told when its deadline passes, and holds nothing then', async () => {
    const call = history.sync(page, { deadline: Date.now() + 300 });
    const ended = once(call, 'error');
    await once(call, 'readable'); // and reads no further
    expect((await ended)[0].code).toBe(status.DEADLINE_EXCEEDED);
    await history.holdsNothing();
  });

  it('leaves others what they need', async () => {
    const stalled = Array.from({ length: 30 }, () => history.sync(page));
    await Promise.all(stalled.map((call) => once(call, 'readable')));
    const frames = await history.frames(page);
    expect(frames.at(-1)?.result?.count).toBe(10_000n);
    const ended = stalled.map((call) => collect(call).catch(() => {}));
    for (const call of stalled) call.cancel();
    await Promise.all(ended);
    await history.holdsNothing();
  });
});
