import { create } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { printable, readableMessage, timeOf } from '../../../clients/cli/readable.ts';
import {
  CallKind,
  CallOutcome,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';

it('shows a message on one line, without what would steer the terminal', () => {
  const message = create(MessageSchema, {
    seq: 3n,
    sender: 'ann\u001b[2J',
    sentAtMs: 1439385105561n,
    content: { text: 'one\ntwo\u2028\u009b31m', files: [{ name: 'cat.jpg' }] },
  });
  expect(readableMessage(message)).toEqual({
    head: '3 2015-08-12T13:11:45Z',
    sender: 'ann\\u001b[2J',
    text: 'one\\ntwo\\u2028\\u009b31m [file cat.jpg]',
  });
});

it('spells out what would turn the direction of the rest of the line', () => {
  const controls = '\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069';
  const codes = ['061c', '200e', '200f', '202a', '202b', '202c', '202d', '202e'];
  codes.push('2066', '2067', '2068', '2069');
  expect(printable(controls)).toBe(codes.map((code) => `\\u${code}`).join(''));
  const message = create(MessageSchema, {
    sender: 'ann\u202e',
    content: { text: 'pay \u202e001', files: [{ name: 'cat\u202egpj.exe' }] },
  });
  expect(readableMessage(message)).toMatchObject({
    sender: 'ann\\u202e',
    text: 'pay \\u202e001 [file cat\\u202egpj.exe]',
  });
});

it('keeps text from right to left as it is, apart from its neighbours', () => {
  expect(printable('שלום 12')).toBe('\u2068שלום 12\u2069');
  expect(printable('مرحبا\u2069')).toBe('\u2068مرحبا\\u2069\u2069');
  expect(printable('naïve 日本 👋‍')).toBe('naïve 日本 👋‍');
});

it('tells of calls, deleted messages and unknown senders', () => {
  const call = { kind: CallKind.VOICE, outcome: CallOutcome.ANSWERED, durationMs: 83_500n };
  expect(readableMessage(create(MessageSchema, { content: { call } })).text).toBe(
    '[voice call, answered, 83 s]',
  );
  expect(readableMessage(create(MessageSchema, { deletedAtMs: 1n }))).toMatchObject({
    sender: '?',
    text: '[deleted]',
  });
});

it('has a form for times beyond those of a calendar', () => {
  expect(timeOf(0n)).toBe('1970-01-01T00:00:00Z');
  expect(timeOf(2n ** 62n)).toBe('4611686018427387904 ms');
});
