import { renamed } from '../support/chat-database.ts';
import type { ChatLine } from '../support/corpus.ts';
import { Random } from '../support/random.ts';
import { benchLines } from './lines.ts';
import { byTurns, quantile } from './measure.ts';
import { cost, type Result, rate } from './result.ts';
import type { Bench } from './setup.ts';

/** The groups of all messages that are read: 100 of each hold a file. */
const group = 'bench';
const groupMessages = 1_000_000;
const smallGroup = 'bench small';
const smallGroupMessages = 10_000;
const files = 100;

const syncMessages = 200_000;

/** Where pages are read: below a seq drawn from `from` on, by turns. */
const places = [
  { name: 'newest', from: 990_001 },
  { name: 'middle', from: 500_000 },
  { name: 'oldest', from: 51 },
];

/** How many seqs the pages of one place are drawn from: they are not always the same. */
const pagesWithin = 10_000;

/** Pages read in one round of each place. */
const pages = 1_000;

const importMessages = 100_000;

/** Messages of one transaction, on both sides: half of what a batch may hold. */
const runMessages = 2_500;

/** Imports the conversations that the other measurements read, the short one first. */
export async function fillHistory(bench: Bench): Promise<void> {
  await fillGroup(bench, smallGroup, smallGroupMessages);
  await fillGroup(bench, group, groupMessages);
}

async function fillGroup({ ours }: Bench, group: string, count: number): Promise<void> {
  const lines = benchLines();
  const piece = Math.min(count, 50_000);
  for (let n = 0; n < count; n += piece) {
    const messages = (await take(lines, piece)).map((line, i) => ({
      ...line,
      conversation: group,
      kind: 'group' as const,
      id: `${line.id}.${n + i}`,
      file: (n + i) % (count / files) === 0,
    }));
    await ours.run('importLines', messages, runMessages);
    console.error(`    ${(n + piece).toLocaleString('en-US')} messages`);
  }
}

/** A long `Sync` beside the same rows read by the driver. */
export async function measureSync({ ours, bare }: Bench): Promise<Result[]> {
  const turns = await byTurns(
    async () => ({ rate: syncMessages / (await ours.run('syncNewest', group, syncMessages)) }),
    async () => ({ rate: syncMessages / (await bare.run('readNewest', syncMessages)) }),
  );
  return [rate('Sync of 200,000', 'messages/s', turns.ours.rate, turns.bare.rate, 0.6)];
}

/** Pages of 50 at both ends and in the middle of a long conversation, beside the query alone. */
export async function measurePages({ ours, bare }: Bench): Promise<Result[]> {
  const random = new Random(1);
  const read = async (times: (beforeSeqs: readonly number[]) => Promise<number[]>) => {
    const beforeSeqs = Array.from({ length: pages }, () =>
      places.map(({ from }) => random.between(from, from + pagesWithin)),
    );
    const taken = await times(beforeSeqs.flat());
    return Object.fromEntries(
      places.flatMap(({ name }, place) => {
        const ofPlace = taken.filter((_, i) => i % places.length === place);
        return [
          [`${name}, p50`, quantile(ofPlace, 0.5)],
          [`${name}, p99`, quantile(ofPlace, 0.99)],
        ];
      }),
    );
  };
  const turns = await byTurns<string>(
    () => read((beforeSeqs) => ours.run('syncPages', group, beforeSeqs, [])),
    () => read((beforeSeqs) => bare.run('readPages', beforeSeqs)),
  );
  const at = (side: Readonly<Record<string, number>>, name: string) => side[name] as number;
  return [
    ...Object.keys(turns.ours).map((name) =>
      cost(`page of 50, ${name}`, 'ms', at(turns.ours, name), at(turns.bare, name)),
    ),
    ...['p50', 'p99'].map((share) => {
      const oldest = at(turns.ours, `oldest, ${share}`);
      const newest = at(turns.ours, `newest, ${share}`);
      return cost(`page of 50, oldest beside newest, ${share}`, 'ms', oldest, newest, 1.2);
    }),
  ];
}

/** An `Import` beside multi-row INSERTs of the same rows into the same table. */
export async function measureImport({ ours, bare }: Bench): Promise<Result[]> {
  const lines = await take(benchLines(), importMessages);
  await bare.run('knowConversations');
  const turns = await byTurns(
    async (round) => {
      const messages = lines.map((line) => renamed(line, ` import ${round}`));
      return { rate: importMessages / (await ours.run('importLines', messages, runMessages)) };
    },
    async () => ({ rate: importMessages / (await bare.run('insertAgain', runMessages)) }),
  );
  return [rate('Import', 'messages/s', turns.ours.rate, turns.bare.rate, 0.5)];
}

async function take(lines: AsyncIterator<ChatLine>, count: number): Promise<ChatLine[]> {
  const taken: ChatLine[] = [];
  while (taken.length < count) {
    const { done, value } = await lines.next();
    if (done) throw new Error('there are no chat lines');
    taken.push(value);
  }
  return taken;
}
