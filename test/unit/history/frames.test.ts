import { fromBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SyncResponseSchema } from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import { FrameWriter } from '../../../services/history/domain/frames.ts';

const timesMs = fc.integer({ min: 0, max: 2 ** 51 });
const seqs = fc.oneof(
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  fc.constantFrom(1, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER),
);

it('writes what protobuf reads, whatever the numbers', () => {
  const messages = fc.array(
    fc.record({
      seq: seqs,
      editedAtMs: timesMs,
      deletedAtMs: timesMs,
      revision: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    }),
  );
  fc.assert(
    fc.property(messages, (all) => {
      const writer = new FrameWriter();
      const body = Buffer.from([0x12, 0x02, 0x68, 0x69]); // id = 2: "hi"
      for (const message of all) expect(writer.add({ ...message, body })).toBeUndefined();
      const read = fromBinary(SyncResponseSchema, writer.finish(Buffer.from([0x12, 0x00])));
      expect(read.result).toBeDefined();
      expect(
        read.messages.map(({ id, seq, editedAtMs, deletedAtMs, revision }) => ({
          id,
          numbers: [seq, editedAtMs, deletedAtMs, revision].map(Number),
        })),
      ).toEqual(
        all.map(({ seq, editedAtMs, deletedAtMs, revision }) => ({
          id: 'hi',
          numbers: [seq, editedAtMs, deletedAtMs, revision],
        })),
      );
    }),
  );
});
