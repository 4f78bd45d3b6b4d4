import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatLine, parseLine } from '../../../clients/cli/message-line.ts';
import {
  CallKind,
  CallOutcome,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';

const archived = {
  conversation: 'FreeCodeCamp/Room',
  kind: 'group',
  sender: 'ann',
  sent_at_ms: 1439385105561,
  text: 'welcome',
  id: '55cb',
};
const archive = (changes: object) => JSON.stringify({ ...archived, ...changes });

describe('parseLine', () => {
  it('reads a line of an archive', () => {
    const { conversation, message } = parseLine(archive({ corpus: 'also there' }));
    expect(conversation).toEqual({ group: 'FreeCodeCamp/Room' });
    expect(message).toMatchObject({
      id: '55cb',
      sender: 'ann',
      sentAtMs: 1439385105561n,
      content: { text: 'welcome' },
    });
    const direct = archive({ kind: 'direct', conversation: 'A|B', sender: '', text: '' });
    expect(parseLine(direct)).toMatchObject({
      conversation: { user: 'A', peer: 'B' },
      message: { sender: '', content: { text: '' } },
    });
  });

  it('takes back what formatLine wrote', () => {
    const message = create(MessageSchema, {
      seq: 12n,
      id: 'm',
      sender: 'ann',
      sentAtMs: -5n,
      content: {
        text: 'line\u2028separator, \u0000, "quotes", 😀',
        files: [
          { url: 'https://example.org/a', sha256: new Uint8Array(32).fill(7), sizeBytes: 9n },
        ],
        call: { kind: CallKind.VIDEO, outcome: CallOutcome.MISSED, participants: ['bob'] },
        location: { latitudeDeg: 50.1, longitudeDeg: -8.6 },
        reply: { messageId: 'l' },
        opaque: { data: new Uint8Array([0, 255]), scheme: 'mls-1.0' },
      },
    });
    for (const conversation of [{ user: 'a', peer: 'b' }, { group: 'g' }]) {
      const placed = parseLine(formatLine({ conversation, message }));
      expect(placed.conversation).toEqual(conversation);
      expect(toBinary(MessageSchema, placed.message)).toEqual(toBinary(MessageSchema, message));
    }
  });

  it('takes back any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.maxSafeInteger(), (text, time) => {
        const content = { text };
        const message = create(MessageSchema, { id: 'm', sentAtMs: BigInt(time), content });
        const line = formatLine({ conversation: { group: 'g' }, message });
        expect(line).not.toContain('\n');
        expect(parseLine(line).message).toEqual(message);
      }),
    );
  });

  it.each([
    ['{', 'not JSON'],
    ['[]', 'not a JSON object'],
    ['null', 'not a JSON object'],
    [archive({ kind: 'channel' }), '"kind" is neither'],
    [archive({ kind: 'direct' }), 'not "A|B"'],
    [archive({ kind: 'direct', conversation: 'A|B|C' }), 'not "A|B"'],
    [archive({ kind: 'direct', conversation: 'A|' }), 'not "A|B"'],
    [archive({ sent_at_ms: '12' }), '"sent_at_ms" is not an integer'],
    [archive({ sent_at_ms: 1.5 }), '"sent_at_ms" is not an integer'],
    [archive({ text: undefined }), '"text" is not a string'],
    [archive({ id: undefined }), '"id" is not a string'],
    [archive({ id: '' }), '"id" is missing'],
    [archive({ text: 'half \ud800' }), '"text" holds half a surrogate pair'],
    ['{"id":"m"}', 'names no conversation'],
    ['{"id":"m","peer":"b"}', '"user" is not a string'],
    ['{"group":"g"}', '"id" is missing'],
    ['{"group":"g","id":"m","txt":"?"}', 'key "txt" is unknown'],
    ['{"group":"g","id":"m","content":{"text":"\\udc00"}}', 'invalid UTF8'],
  ])('refuses %s', (line, why) => {
    expect(() => parseLine(line)).toThrow(why);
  });
});
