import { expect, test } from 'vitest';
import { DeviceStorm } from '../support/chaos/device-storm.ts';
import { Random } from '../support/random.ts';
import { HistoryHarness } from './history-harness.ts';

/** Steps, and after how many of them each device is held to the service. */
const steps = 2_000;
const stepsOfRound = 500;

test(`three devices equal the service wherever they claim to know, through ${steps} random steps`, async () => {
  const seed = Date.now() % 2 ** 32;
  console.log(`  devices: seed ${seed}`);
  const random = new Random(seed);
  await using service = await HistoryHarness.start('sqlite');
  await using storm = await DeviceStorm.begin('devices', service.server.address, [], 1);
  const signal = AbortSignal.timeout(500_000);
  while (storm.done < steps) {
    const end = storm.done + stepsOfRound;
    await storm.work(random, () => storm.done >= end, signal);
    expect((await storm.check(signal)).faults).toEqual([]);
  }
  console.log(`  devices: seed ${seed}, ${storm.done} steps, ${storm.claimed} messages compared`);
  expect(storm.claimed).toBeGreaterThan(steps);
});
