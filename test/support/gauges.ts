import { setTimeout as delay } from 'node:timers/promises';

/** Gauges of what calls hold: all are zero when nobody calls. */
export const heldGauges = ['grpc_server_in_flight'] as const;

/** The sum of a gauge over all its labels, read from a service's metrics address. */
export async function readGauges(
  metrics: string,
  names: readonly string[] = heldGauges,
): Promise<Record<string, number>> {
  const response = await fetch(`http://${metrics}/metrics`);
  if (!response.ok) throw new Error(`${metrics} answers ${response.status}`);
  const sums: Record<string, number> = {};
  const text = await response.text();
  for (const name of names) {
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    if (lines.length === 0) throw new Error(`${metrics} has no metric ${name}`);
    sums[name] = lines.reduce(
      (sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)),
      0,
    );
  }
  return sums;
}

/** Waits until all gauges of what calls hold are zero; rejects with what is held when the signal fires. */
export async function untilNothingHeld(metrics: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const held = Object.entries(await readGauges(metrics)).filter(([, value]) => value !== 0);
    if (held.length === 0) return;
    if (signal.aborted)
      throw new Error(`still held: ${held.map((entry) => entry.join(' ')).join(', ')}`);
    await delay(25);
  }
}
