import { expect, it } from 'vitest';
import { uuidv7 } from '../../../clients/uuid.ts';

it('makes UUIDs of version 7 that begin with the time', () => {
  expect(uuidv7(0x0123456789ab)).toMatch(
    /^01234567-89ab-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/,
  );
  expect(new Set(Array.from({ length: 1000 }, () => uuidv7(1))).size).toBe(1000);
});
