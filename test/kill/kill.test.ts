import { describe, expect, test } from 'vitest';
import { describeKill } from '../support/chaos/storm.ts';
import { survive, worlds } from '../support/chaos/worlds.ts';
import { Random } from '../support/random.ts';

/** Rounds and kills a round: together a few dozen kills. */
const plan = {
  'history on MySQL': [3, 4],
  'history on SQLite': [3, 3],
  'copies from MySQL': [2, 3],
  'copies from SQLite': [2, 2],
  'backup on MinIO': [3, 3],
  'backup on a folder': [3, 3],
  'devices of a person': [2, 2],
} as const;

describe.each(Object.entries(worlds))('%s', (name, start) => {
  test('keeps its promises when killed', async () => {
    const seed = Date.now() % 2 ** 32;
    console.log(`  ${name}: seed ${seed}`);
    const random = new Random(seed);
    const [rounds, kills] = plan[name as keyof typeof plan];
    await using world = await start();
    let hits = 0;
    for (let round = 0; round < rounds; round++) {
      const checked = await survive(world, random, kills, (kill) => {
        console.log(`  ${name}: ${describeKill(kill)}`);
        if (Object.keys(kill.inFlight).length > 0) hits++;
      });
      console.log(`  ${name}: checked ${checked}`);
    }
    const { faults } = await world.storm.recheck(AbortSignal.timeout(60_000));
    expect(faults).toEqual([]);
    expect(hits).toBeGreaterThan((rounds * kills) / 2);
  });
});
