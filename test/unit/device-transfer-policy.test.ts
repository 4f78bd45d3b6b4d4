import { describe, expect, it } from 'vitest';
import type { FileRequest } from '../../clients/device/files/transfer-handler.ts';
import { byUrgency, decideByDefault } from '../../clients/device/files/transfer-policy.ts';

const NOW = 1_800_000_000_000;
const DAY_MS = 24 * 60 * 60 * 1_000;
const MIB = 1024 * 1024;

function file(changes: Partial<FileRequest> = {}): FileRequest {
  return {
    ...{ conversation: { peer: 'bob' }, sender: 'bob', sentAtMs: NOW, url: 'https://a/b' },
    ...{ name: '', mediaType: '', sizeBytes: 1_000, priority: 'read' as const, ...changes },
  };
}

describe('the default decision', () => {
  it.each([
    [{}, 'now'],
    [{ sizeBytes: 0 }, 'now'],
    [{ sizeBytes: 16 * MIB }, 'now'],
    [{ sizeBytes: 16 * MIB + 1 }, 'later'],
    [{ sentAtMs: NOW - 30 * DAY_MS }, 'now'],
    [{ sentAtMs: NOW - 31 * DAY_MS }, 'later'],
    [{ sentAtMs: NOW - 31 * DAY_MS, priority: 'shown' }, 'now'],
    [{ sizeBytes: 17 * MIB, priority: 'shown' }, 'later'],
    [{ sizeBytes: 17 * MIB, sentAtMs: 0, priority: 'asked' }, 'now'],
  ] as const)('of %j is %s', (changes, decision) => {
    expect(decideByDefault(file(changes), NOW)).toBe(decision);
  });
});

describe('urgency', () => {
  it('is what is asked for, then shown, then small, then recent; unknown sizes are the largest', () => {
    const order = [
      file({ priority: 'asked', sizeBytes: 9 * MIB }),
      file({ priority: 'shown', sizeBytes: 8 * MIB }),
      file({ sizeBytes: 10, sentAtMs: NOW }),
      file({ sizeBytes: 10, sentAtMs: NOW - 1 }),
      file({ sizeBytes: 11, sentAtMs: NOW + 1 }),
      file({ sizeBytes: 0, sentAtMs: NOW + 2 }),
    ];
    expect([...order].reverse().sort(byUrgency)).toEqual(order);
  });
});
