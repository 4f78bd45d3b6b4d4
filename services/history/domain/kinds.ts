import {
  type Call,
  CallOutcome,
  type Content,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Conversation } from '../store/model.ts';

/** Bits of `message.kinds`: what a message holds. A tombstone holds nothing: 0. */
export const KINDS = {
  text: 1,
  file: 2,
  call: 4,
  /** With `call`: nobody took it. */
  missed: 8,
  /** With `call`, in a pair: the first of the pair's names called. */
  byFirst: 16,
  /** With `call`, in a pair: it is not known who called. */
  byUnknown: 32,
} as const;

/** The kinds of a message, for its row. */
export function kindsOf(conversation: Conversation, sender: string, content: Content): number {
  const { text, files, call } = content;
  return (
    (text === '' ? 0 : KINDS.text) |
    (files.length === 0 ? 0 : KINDS.file) |
    (call ? kindsOfCall(conversation, sender, call) : 0)
  );
}

function kindsOfCall(conversation: Conversation, sender: string, { outcome }: Call): number {
  const missed = outcome === CallOutcome.MISSED ? KINDS.missed : 0;
  return KINDS.call | missed | (conversation.kind === 'pair' ? callerBit(conversation, sender) : 0);
}

function callerBit({ names }: Conversation, sender: string): number {
  if (sender === '') return KINDS.byUnknown;
  return sender === names[0] ? KINDS.byFirst : 0;
}

/** Whether a message of these kinds is unread for nobody: a call that was not missed. */
export function isQuiet(kinds: number): boolean {
  return (kinds & KINDS.call) !== 0 && (kinds & KINDS.missed) === 0;
}
