import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HeadEntry } from '../../../services/backup/domain/kept/backups.ts';
import { type KeepPolicy, kept } from '../../../services/backup/domain/kept/retention.ts';
import type { Note } from '../../../services/backup/domain/keys.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NONE: KeepPolicy = { last: 0, daily: 0, weekly: 0, monthly: 0, floorMs: 0 };

describe('kept', () => {
  const now = Date.UTC(2026, 6, 1, 12);

  it('keeps all where the policy has no number', () => {
    expect(keptOf(['2020-01-01', '2025-01-01', '2026-06-30'], NONE)).toEqual([1, 2, 3]);
  });

  it('keeps the newest', () => {
    const days = ['2026-06-01', '2026-06-02', '2026-06-03', '2026-06-04'];
    expect(keptOf(days, { ...NONE, last: 2 })).toEqual([3, 4]);
  });

  it('keeps the newest of each day, week and month that has one, by UTC', () => {
    const times = [
      '2026-04-30T23:59:59Z', // a Thursday
      '2026-05-01T00:00:00Z',
      '2026-05-03T23:59:59Z', // a Sunday
      '2026-05-04T00:00:00Z', // a Monday
      '2026-05-04T23:00:00Z',
      '2026-06-20T01:00:00Z',
    ];
    expect(keptOf(times, { ...NONE, daily: 2 })).toEqual([5, 6]);
    expect(keptOf(times, { ...NONE, daily: 3 })).toEqual([3, 5, 6]);
    expect(keptOf(times, { ...NONE, weekly: 3 })).toEqual([3, 5, 6]);
    expect(keptOf(times, { ...NONE, monthly: 3 })).toEqual([1, 5, 6]);
    expect(keptOf(times, { ...NONE, last: 1, monthly: 3 })).toEqual([1, 5, 6]);
  });

  it('keeps what is younger than the floor, and what is pinned', () => {
    const policy = { ...NONE, last: 1, floorMs: 24 * HOUR_MS };
    const times = ['2026-06-01', '2026-06-30T11:59:59Z', '2026-06-30T12:00:01Z', '2026-07-01'];
    expect(keptOf(times, policy)).toEqual([3, 4]);
    expect(keptOf(times, policy, { 1: 'pin-asked', 2: 'pin-warned' })).toEqual([1, 2, 3, 4]);
  });

  it('does not count what has failed, nor deletes the newest that has not', () => {
    const days = ['2026-06-01', '2026-06-02', '2026-06-03', '2026-06-04'];
    const last = { ...NONE, last: 1 };
    expect(keptOf(days, last, { 4: 'failed' })).toEqual([3, 4]);
    expect(keptOf(days, last, { 2: 'failed' })).toEqual([4]);
    expect(keptOf(days, last, { 3: 'failed', 4: 'failed' })).toEqual([2, 3, 4]);
    const all = { 1: 'failed', 2: 'failed', 3: 'failed', 4: 'failed' } as const;
    expect(keptOf(days, last, all)).toEqual([1, 2, 3, 4]);
  });

  it('does as a naive reading of the rules', () => {
    const count = fc.integer({ min: 0, max: 5 });
    const policies = fc.record({
      ...{ last: count, daily: count, weekly: count, monthly: count },
      floorMs: fc.integer({ min: 0, max: 40 * DAY_MS }),
    });
    const note = fc.constantFrom<Note>('failed', 'passed', 'pin-asked', 'pin-warned');
    const backup = fc.record({
      agoMs: fc.integer({ min: 0, max: 200 * DAY_MS }),
      notes: fc.uniqueArray(note, { maxLength: 2 }),
    });
    const backups = fc.array(backup, { maxLength: 30 });
    fc.assert(
      fc.property(backups, policies, (made, policy) => {
        const entries = made
          .sort((one, other) => one.agoMs - other.agoMs)
          .map(({ agoMs, notes }, at) => entry(made.length - at, now - agoMs, notes));
        const numbers = entries.filter((one) => isKept(one, entries, policy, now));
        expect([...kept(entries, policy, now)].sort()).toEqual(
          numbers.map(({ number }) => number).sort(),
        );
      }),
    );
  });

  function keptOf(times: string[], policy: KeepPolicy, notes: Record<number, Note> = {}): number[] {
    const entries = times.map((time, at) => {
      const note = notes[at + 1];
      return entry(at + 1, Date.parse(time), note === undefined ? [] : [note]);
    });
    return [...kept(entries.reverse(), policy, now)].sort((one, other) => one - other);
  }
});

/** Whether the rules keep a backup, for each of them anew. */
function isKept(one: HeadEntry, all: readonly HeadEntry[], policy: KeepPolicy, now: number) {
  const { last, daily, weekly, monthly, floorMs } = policy;
  if (last === 0 && daily === 0 && weekly === 0 && monthly === 0) return true;
  if (one.notes.has('pin-asked') || one.notes.has('pin-warned')) return true;
  if (now - one.object.storedAtMs < floorMs) return true;
  const isGood = (entry: HeadEntry) => !entry.notes.has('failed');
  const newerGood = all.filter((other) => isGood(other) && other.number > one.number);
  if (newerGood.length === 0) return true;
  if (!isGood(one)) return false;
  if (newerGood.length < last) return true;
  const periods: [number, (time: Date) => string][] = [
    [daily, (time) => time.toISOString().slice(0, 10)],
    [weekly, (time) => mondayOf(time).toISOString().slice(0, 10)],
    [monthly, (time) => time.toISOString().slice(0, 7)],
  ];
  return periods.some(([most, periodOf]) => {
    const period = (entry: HeadEntry) => periodOf(new Date(entry.object.storedAtMs));
    const newer = new Set(newerGood.map(period));
    return !newer.has(period(one)) && newer.size < most;
  });
}

function mondayOf(time: Date): Date {
  const daysSince = (time.getUTCDay() + 6) % 7;
  return new Date(time.getTime() - daysSince * DAY_MS);
}

function entry(number: number, storedAtMs: number, notes: readonly Note[]): HeadEntry {
  return {
    number,
    object: { key: `heads/${number}`, sizeBytes: 500, storedAtMs },
    notes: new Map(notes.map((note) => [note, storedAtMs])),
  };
}
