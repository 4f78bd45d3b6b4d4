import type { Reason } from './errors.ts';

/** Bytes of a name of a user, group or database: what a VARBINARY key column holds, four times over. */
export const NAME_BYTES = 255;

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what names may not hold
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** What is wrong with a name; undefined where nothing is. */
export function nameFault(name: string): { reason: Reason; description: string } | undefined {
  if (name === '') return { reason: 'MISSING_FIELD', description: 'is required' };
  // A string's UTF-8 has 1 to 3 bytes for each of its code units: most need not be counted.
  if (name.length > NAME_BYTES / 3 && Buffer.byteLength(name) > NAME_BYTES) {
    return { reason: 'TOO_LARGE', description: `must be at most ${NAME_BYTES} bytes` };
  }
  if (CONTROL.test(name)) {
    return { reason: 'INVALID_FIELD', description: 'must not hold control characters' };
  }
  return undefined;
}
