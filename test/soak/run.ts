/**
 * `npm run soak -- --minutes 30 [--seed N]`: kills the services and their engines for as long as one
 * likes, all worlds in turns, and checks after each round that every promise was kept. The same
 * storms as in the kill tests.
 */
import { parseArgs } from 'node:util';
import { describeKill, type Kill } from '../support/chaos/storm.ts';
import { survive, type World, worlds } from '../support/chaos/worlds.ts';
import { Random } from '../support/random.ts';

/** A service that ever holds more than this leaks, or keeps what it should stream. */
const memoryLimitBytes = 400 * 1024 * 1024;

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '30' }, seed: { type: 'string' } },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Date.now() % 2 ** 32);
if (!(minutes > 0) || !Number.isInteger(seed)) {
  console.error('usage: npm run soak -- [--minutes MINUTES] [--seed WHOLE_NUMBER]');
  process.exit(2);
}

const began = Date.now();
const kills: Kill[] = [];
let rounds = 0;
let peakBytes = 0;

console.log(`soak of ${minutes} minutes, seed ${seed}`);
const random = new Random(seed);
await using running = new AsyncDisposableStack();
const all: World[] = [];
for (const start of Object.values(worlds)) all.push(running.use(await start()));
try {
  do {
    for (const world of all) await soakRound(world);
  } while (Date.now() - began < minutes * 60_000);
  for (const { storm } of all) await soakRecheck(storm);
  console.log(summary());
  console.log('every promise was kept');
} catch (error) {
  console.error(error);
  console.error(summary());
  console.error(`FAILED; again with: npm run soak -- --minutes ${minutes} --seed ${seed}`);
  process.exitCode = 1;
}

async function soakRound(world: World): Promise<void> {
  const { storm, services } = world;
  const checked = await survive(world, random, random.between(1, 6), (kill) => {
    kills.push(kill);
    say(storm.name, describeKill(kill));
  });
  rounds++;
  const bytes = Math.max(...services.map((service) => service.peakMemoryBytes()));
  peakBytes = Math.max(peakBytes, bytes);
  say(storm.name, `checked ${checked}; service at most ${mebibytes(bytes)}; nothing held`);
  if (bytes > memoryLimitBytes) throw new Error(`${storm.name}: the service took ${bytes} bytes`);
}

async function soakRecheck(storm: World['storm']): Promise<void> {
  const { faults, checked } = await storm.recheck(AbortSignal.timeout(600_000));
  say(storm.name, `read again ${checked}`);
  if (faults.length > 0) throw new Error(`${storm.name}: ${faults.join('\n')}`);
}

function summary(): string {
  const hits = kills.filter((kill) => Object.keys(kill.inFlight).length > 0).length;
  const byVictim = Map.groupBy(kills, (kill) => kill.victims);
  const victims = [...byVictim].map(([victim, list]) => `${list.length} × ${victim}`).join(', ');
  return (
    `seed ${seed}: ${rounds} rounds, ${kills.length} kills (${victims}), ` +
    `${hits} of them with calls in flight; services at most ${mebibytes(peakBytes)}`
  );
}

function say(who: string, what: string): void {
  const seconds = Math.round((Date.now() - began) / 1_000);
  console.log(`${String(seconds).padStart(5)} s  ${who}: ${what}`);
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
