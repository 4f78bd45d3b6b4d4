import {
  type Call,
  CallKindSchema,
  CallOutcomeSchema,
  type Content,
} from '../gen/backscroll/history/v1/message_pb.ts';

/** A message, of the service or of a device. */
export interface Shown {
  /** Undefined for one that waits to be sent. */
  readonly seq: bigint | number | undefined;
  readonly sentAtMs: bigint | number;
  readonly sender: string;
  /** Undefined for one that was deleted. */
  readonly content?: Content | undefined;
}

/** One message as people read it, on one line: seq, time, sender and what was said. */
export function readableMessage(message: Shown): { head: string; sender: string; text: string } {
  return {
    head: `${message.seq ?? '-'} ${timeOf(message.sentAtMs)}`,
    sender: printable(message.sender || '?'),
    text: message.content ? contentOf(message.content) : '[deleted]',
  };
}

/** How many there are of what a noun names. */
export function counted(number: bigint | number, noun: string): string {
  return `${number} ${noun}${Number(number) === 1 ? '' : 's'}`;
}

/** A time as ISO 8601 has it, in UTC and to the second; the number itself where that has no such form. */
export function timeOf(ms: bigint | number): string {
  const date = new Date(Number(ms));
  return Number.isNaN(date.getTime()) ? `${ms} ms` : date.toISOString().replace(/\.\d{3}Z$/, 'Z');
}

function contentOf(content: Content): string {
  const parts = [
    content.text && printable(content.text),
    ...content.files.map((file) => `[file ${printable(file.name || file.url)}]`),
    content.call && callOf(content.call),
    content.location && `[place ${content.location.latitudeDeg}, ${content.location.longitudeDeg}]`,
    content.opaque && `[encrypted, ${content.opaque.data.length} bytes]`,
  ];
  return parts.filter(Boolean).join(' ');
}

function callOf(call: Call): string {
  const kind = CallKindSchema.value[call.kind]?.localName.toLowerCase();
  const outcome = CallOutcomeSchema.value[call.outcome]?.localName.toLowerCase();
  const seconds = Number(call.durationMs / 1000n);
  return `[${kind} call, ${outcome}${seconds > 0 ? `, ${seconds} s` : ''}]`;
}

/** Characters that would steer the terminal, break the line, or turn the direction of what follows. */
const STEERING =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters meant
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Letters of the scripts that are written from right to left, by the blocks set aside for them. */
const RIGHT_TO_LEFT =
  /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/**
 * Text that changes nothing around it on a terminal. Characters that would are spelt out; text with
 * letters from right to left is isolated (FSI ... PDI), so that its neighbours keep their places.
 */
export function printable(text: string): string {
  const plain = text.replace(STEERING, (character) =>
    character === '\n' ? '\\n' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return RIGHT_TO_LEFT.test(plain) ? `\u2068${plain}\u2069` : plain;
}
