/**
 * `npm run test:devices -- [--steps N] [--seed N]`: a person with three devices, one of them ever new, and
 * friends who talk meanwhile; the service is killed now and then. After some kills, and in the end, each
 * device must equal the service wherever it claims to know.
 */
import { parseArgs } from 'node:util';
import { devicesOn, survive } from '../support/chaos/worlds.ts';
import { Progress } from '../support/progress.ts';
import { Random } from '../support/random.ts';

/** Kills of one round, after which every device is looked at. */
const killsOfRound = 2;

/** Most steps between two kills. */
const mostBetweenKills = 4_000;

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '100000' }, seed: { type: 'string' } },
});
const steps = Number(values.steps);
const seed = Number(values.seed ?? Date.now() % 2 ** 32);
if (!(steps > 0) || !Number.isInteger(seed)) {
  console.error('usage: npm run test:devices -- [--steps NUMBER] [--seed WHOLE_NUMBER]');
  process.exit(2);
}

console.log(`  three devices through ${steps} random steps, seed ${seed}`);
const random = new Random(seed);
await using world = await devicesOn('devices of a person', mostBetweenKills);
const { storm } = world;
let kills = 0;
let checked = '';
{
  using progress = new Progress('steps');
  while (storm.done < steps) {
    checked = await survive(world, random, killsOfRound, () => {
      kills++;
      progress.update(`${storm.done} steps, ${kills} kills`);
    });
  }
}
if (storm.done < steps) throw new Error(`only ${storm.done} steps were done`);
console.log(
  `  seed ${seed}, ${storm.done} steps, ${kills} kills, ${storm.claimed} messages compared`,
);
console.log(`  at last: ${checked}`);
