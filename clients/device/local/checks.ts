import { status } from '@grpc/grpc-js';
import { isAddress } from '../../channel.ts';
import { BackscrollError } from '../../errors.ts';
import type { Message } from '../../gen/backscroll/history/v1/message_pb.ts';
import type { ConversationName } from './message.ts';

/** Bytes of a user's or group's name, at most. */
export const NAME_BYTES = 255;

/** Bytes of a message's id, at most. */
const MESSAGE_ID_BYTES = 128;

/** Bytes of a message, encoded, at most. */
const MESSAGE_BYTES = 256 * 1024;

/** Messages or conversations that one call asks for, at most: what the service gives. */
export const MOST_AT_ONCE = 1_000_000;

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what names may not hold
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * Refuses names that no user or group has, as the service would: INVALID_ARGUMENT, reasons MISSING_FIELD,
 * TOO_LARGE, INVALID_FIELD.
 */
export function checkConversationName(name: ConversationName | null | undefined): void {
  const { peer, group } = name ?? {};
  if (peer !== undefined && group !== undefined) {
    throw invalid('INVALID_FIELD', 'group', 'must not stand beside a peer');
  }
  checkName(group === undefined ? 'peer' : 'group', group ?? peer);
}

/** Refuses what is no user's or group's name, as the service would; `field` is what it was given as. */
export function checkName(field: string, name: unknown): void {
  if (name === undefined || name === '') throw invalid('MISSING_FIELD', field, 'is required');
  checkString(field, name);
  checkBytes(field, name, NAME_BYTES);
  if (CONTROL.test(name)) throw invalid('INVALID_FIELD', field, 'must not hold control characters');
  if (!name.isWellFormed()) throw invalid('INVALID_FIELD', field, 'must be well-formed Unicode');
}

/** Refuses what is no address of a service: INVALID_ARGUMENT, reason INVALID_FIELD. */
export function checkAddress(field: string, value: string): void {
  checkString(field, value);
  if (!isAddress(value)) throw invalid('INVALID_FIELD', field, `must be host:port: ${value}`);
}

/** Refuses what is no string: INVALID_ARGUMENT, reason INVALID_FIELD. */
export function checkString(field: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw invalid('INVALID_FIELD', field, 'must be a string');
}

/** Refuses what is no function: INVALID_ARGUMENT, reason INVALID_FIELD. */
export function checkFunction(
  field: string,
  value: unknown,
  description = 'must be a function',
): void {
  if (typeof value !== 'function') throw invalid('INVALID_FIELD', field, description);
}

/** Refuses what is no number of messages to ask for: INVALID_ARGUMENT, reason INVALID_FIELD. */
export function checkCount(count: number): void {
  checkWhole('count', count, 0, MOST_AT_ONCE);
}

/** Refuses what is no whole number between two: INVALID_ARGUMENT, reason INVALID_FIELD. */
export function checkWhole(
  field: string,
  value: number,
  from: number,
  to: number = Number.MAX_SAFE_INTEGER,
): void {
  if (Number.isSafeInteger(value) && value >= from && value <= to) return;
  throw invalid('INVALID_FIELD', field, `must be a whole number from ${from} to ${to}`);
}

/** Refuses a message that is too large, or whose id is; `bytes` is what it weighs, encoded. */
export function checkMessage({ id }: Message, bytes: number): void {
  checkBytes('message.id', id, MESSAGE_ID_BYTES);
  if (bytes > MESSAGE_BYTES) {
    throw invalid('TOO_LARGE', 'message', `must be at most ${MESSAGE_BYTES} bytes, encoded`);
  }
}

/** The error of a field that is at fault: INVALID_ARGUMENT. */
export function invalid(reason: string, field: string, description: string): BackscrollError {
  return new BackscrollError(`${field}: ${description}`, {
    code: status.INVALID_ARGUMENT,
    reason,
    fields: [{ field, description }],
  });
}

function checkBytes(field: string, value: string, most: number): void {
  if (Buffer.byteLength(value) <= most) return;
  throw invalid('TOO_LARGE', field, `must be at most ${most} bytes`);
}
