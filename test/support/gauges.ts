import { setTimeout as delay } from 'node:timers/promises';

/** Gauges of what calls hold are named so; all of them are zero when nobody calls. */
const held = /^(\w+_(?:in_flight|in_use))(?:\{.*\})? (\S+)$/gm;

/** What the calls of a service hold now: each such gauge, summed over its labels, by name. */
export async function readHeld(metrics: string): Promise<Record<string, number>> {
  const response = await fetch(`http://${metrics}/metrics`);
  if (!response.ok) throw new Error(`${metrics} answers ${response.status}`);
  const sums: Record<string, number> = {};
  for (const [, name = '', value] of (await response.text()).matchAll(held)) {
    sums[name] = (sums[name] ?? 0) + Number(value);
  }
  if (Object.keys(sums).length === 0) throw new Error(`${metrics} does not tell what is held`);
  return sums;
}

/** Waits until calls hold nothing; rejects with what they hold when the signal fires. */
export async function untilNothingHeld(metrics: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const entries = Object.entries(await readHeld(metrics)).filter(([, value]) => value !== 0);
    if (entries.length === 0) return;
    if (signal.aborted) {
      throw new Error(`still held: ${entries.map((entry) => entry.join(' ')).join(', ')}`);
    }
    await delay(25);
  }
}
