import { create } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { readableMessage, timeOf } from '../../../clients/cli/readable.ts';
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
