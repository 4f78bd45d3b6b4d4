import { byTurns } from './measure.ts';
import { cost, type Result, rate } from './result.ts';
import type { Bench } from './setup.ts';

/** How many write at once, and how many messages they append one by one in a round. */
const loads = [
  { writers: 1, messages: 400 },
  { writers: 16, messages: 3_200 },
  { writers: 64, messages: 3_200 },
];

/** Appends before anything is measured: as many as it takes until what runs for days has been compiled. */
const warmUp = { writers: 16, messages: 12_000 };

/** The groups that `fillHistory` and `fillSmall` made: a million messages, and ten thousand. */
const large = 'bench';
const small = 'bench small';

/** Single `Append`s beside the same transactions of the driver alone. */
export async function measureAppends({ ours, bare }: Bench): Promise<Result[]> {
  const results: Result[] = [];
  const warm = groupsOf('append, warm', warmUp.writers);
  for (const side of [ours, bare]) {
    await side.run('appendSingly', warm, warmUp.writers, warmUp.messages);
  }
  for (const place of ['one conversation', 'many'] as const) {
    for (const { writers, messages } of loads) {
      const groups = place === 'many' ? writers : 1;
      const name = `append, ${writers} to ${place}`;
      const ourGroups = groupsOf(`${name}, ours`, groups);
      const bareGroups = groupsOf(`${name}, bare`, groups);
      // Whoever writes is a member from the warm-up on; the groups of the bare side only have to begin.
      await ours.run('appendSingly', bareGroups, writers, 10 * writers);
      const turns = await byTurns(
        async () => ({
          rate: messages / (await ours.run('appendSingly', ourGroups, writers, messages)),
        }),
        async () => ({
          rate: messages / (await bare.run('appendSingly', bareGroups, writers, messages)),
        }),
      );
      results.push(
        rate(
          `Append, ${writers} ${writers === 1 ? 'writer' : 'writers'} to ${place}`,
          'messages/s',
          turns.ours.rate,
          turns.bare.rate,
          0.6,
        ),
      );
    }
  }
  return results;
}

/** Single `Append`s to a conversation of a million messages beside those to one of ten thousand. */
export async function measureAppendGrowth({ ours }: Bench): Promise<Result[]> {
  const { writers, messages } = loads[1]!;
  await ours.run('appendSingly', [large, small], 1, 2);
  const time = async (group: string) => ({
    ms: ((await ours.run('appendSingly', [group], writers, messages)) * 1000) / messages,
  });
  const turns = await byTurns(
    () => time(large),
    () => time(small),
  );
  return [cost('append, 1,000,000 beside 10,000', 'ms', turns.ours.ms, turns.bare.ms, 1.2)];
}

function groupsOf(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, n) => `${name} ${n}`);
}
