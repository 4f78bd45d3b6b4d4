import { NAME_BYTES } from '../limits.ts';
import { type At, checkBytes, type Faults } from './faults.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what names may not hold
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Notes what is wrong with the name of a user or group; an empty one is missing. */
export function checkName(faults: Faults, at: At, name: string): void {
  if (name === '') {
    faults.add('MISSING_FIELD', at(), 'is required');
    return;
  }
  checkBytes(faults, at, name, NAME_BYTES);
  if (CONTROL.test(name)) {
    faults.add('INVALID_FIELD', at(), 'must not hold control characters');
  }
}
