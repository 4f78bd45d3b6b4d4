import { hash } from 'node:crypto';

const CHECK_BYTES = 8;

/** Writes the token of a page that begins at `place`; it is good for lists of `subject` alone. */
export function writePageToken(subject: Uint8Array, place: Uint8Array): string {
  const check = hash('sha256', Buffer.concat([subject, place]), 'buffer').subarray(0, CHECK_BYTES);
  return Buffer.concat([check, place]).toString('base64url');
}

/** The place that a token names; undefined where it was not written for this subject. */
export function readPageToken(subject: Uint8Array, token: string): Buffer | undefined {
  const place = Buffer.from(token, 'base64url').subarray(CHECK_BYTES);
  return writePageToken(subject, place) === token ? place : undefined;
}
