import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { type Batch, batchesOf, type ImportLine, placeOf } from '../../../clients/cli/batches.ts';
import { MessageSchema } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';

const line = (group: string, number: number, text = ''): ImportLine => ({
  conversation: { group },
  message: create(MessageSchema, { id: String(number), content: { text } }),
  origin: `file:${number}`,
  sizeBytes: 40 + text.length,
});

async function batched(...chunks: ImportLine[][]): Promise<Batch[]> {
  const batches: Batch[] = [];
  for await (const batch of batchesOf(
    (async function* () {
      yield* chunks;
    })(),
  )) {
    batches.push(batch);
  }
  return batches;
}

const idsOf = (batches: Batch[]) =>
  batches.flatMap(({ runs }) => runs.flatMap(({ messages }) => messages.map(({ id }) => id)));

describe('batchesOf', () => {
  it('makes a run of consecutive messages of one conversation', async () => {
    const [batch, ...more] = await batched(
      [line('a', 1), line('a', 2)],
      [line('a', 3), line('b', 4)],
    );
    expect(more).toEqual([]);
    expect(batch?.runs.map(({ group, messages }) => [group, messages.length])).toEqual([
      ['a', 3],
      ['b', 1],
    ]);
    expect(await batched()).toEqual([]);
  });

  it('keeps the limits of messages, runs and bytes, and the order', async () => {
    const numbers = Array.from({ length: 12_001 }, (_, index) => index);
    const many = await batched(numbers.map((number) => line('a', number)));
    expect(many.map(({ runs }) => runs[0]?.messages.length)).toEqual([5000, 5000, 2001]);
    expect(idsOf(many)).toEqual(numbers.map(String));

    const rooms = await batched(numbers.slice(0, 130).map((number) => line(`${number}`, number)));
    expect(rooms.map(({ runs }) => runs.length)).toEqual([64, 64, 2]);

    const text = 'x'.repeat(200_000);
    const heavy = await batched(numbers.slice(0, 25).map((number) => line('a', number, text)));
    for (const { runs } of heavy) {
      const messages = runs.flatMap((run) => run.messages);
      const bytes = messages.map((message) => toBinary(MessageSchema, message).length);
      expect(bytes.reduce((sum, length) => sum + length)).toBeLessThan(2 << 20);
    }
    expect(idsOf(heavy)).toEqual(numbers.slice(0, 25).map(String));
  });

  it('finds the line and the field that a refusal names', async () => {
    const [batch] = await batched([line('a', 1), line('b', 2), line('b', 3)]);
    expect(placeOf(batch!, 'runs[1].messages[1].content.text')).toBe('file:3: content.text');
    expect(placeOf(batch!, 'runs[1].messages[1]')).toBe('file:3');
    expect(placeOf(batch!, 'runs[1].group')).toBe('file:2: group');
    expect(placeOf(batch!, 'runs')).toBe(undefined);
  });
});
