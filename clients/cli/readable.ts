import {
  type Call,
  CallKindSchema,
  CallOutcomeSchema,
  type Content,
  type Message,
} from '../gen/backscroll/history/v1/message_pb.ts';

/** One message as people read it, on one line: seq, time, sender and what was said. */
export function readableMessage(message: Message): { head: string; sender: string; text: string } {
  return {
    head: `${message.seq} ${timeOf(message.sentAtMs)}`,
    sender: printable(message.sender || '?'),
    text: message.content ? contentOf(message.content) : '[deleted]',
  };
}

/** A time as ISO 8601 has it, in UTC and to the second; the number itself where that has no such form. */
export function timeOf(ms: bigint): string {
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

/** Characters that would steer the terminal or break the line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters meant
const STEERING = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** Text without the characters that would steer the terminal or break the line: they are spelt out. */
export function printable(text: string): string {
  return text.replace(STEERING, (character) =>
    character === '\n' ? '\\n' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
