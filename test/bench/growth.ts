import type { MessageKind } from '../../clients/index.ts';
import { byTurns, quantile } from './measure.ts';
import { cost, type Result } from './result.ts';
import type { Bench } from './setup.ts';

/** Two groups that hold as many files, the one among 1,000,000 messages, the other among 10,000. */
const large = { group: 'bench', messages: 1_000_000 };
const small = { group: 'bench small', messages: 10_000 };

const pages = 200;

/** Messages that are edited in both groups before their changes are read. */
const changes = 1_000;

/** Edits messages of both groups. */
export async function fillChanges({ ours }: Bench): Promise<void> {
  for (const { group, messages } of [large, small]) {
    await ours.run('edit', group, messages / 2, changes);
  }
}

/** What the same costs in a conversation of a million messages beside one of ten thousand. */
export async function measureGrowth({ ours }: Bench): Promise<Result[]> {
  const page = (kinds: MessageKind[]) => (place: typeof large) => async () => {
    const beforeSeqs = Array.from({ length: pages }, (_, n) => place.messages - n);
    return { ms: quantile(await ours.run('syncPages', place.group, beforeSeqs, kinds), 0.5) };
  };
  const change = (place: typeof large) => async () => ({
    ms: (await ours.run('readChanges', place.group, changes)) * 1000,
  });
  return [
    await grown('page of 50', page([]), 1.2),
    await grown('page of 50 files', page(['file'])),
    await grown('1,000 changes', change),
  ];
}

async function grown(
  name: string,
  measure: (place: typeof large) => () => Promise<{ ms: number }>,
  reach?: number,
): Promise<Result> {
  const turns = await byTurns(measure(large), measure(small));
  const { ours, bare } = turns;
  return cost(`${name}, 1,000,000 beside 10,000`, 'ms', ours.ms, bare.ms, reach ?? null);
}

/** Pages of 50 files, of which one message in 10,000 is one, beside plain pages of 50. */
export async function measureFiltered({ ours, bare }: Bench): Promise<Result[]> {
  const beforeSeqs = Array.from({ length: pages }, (_, n) => large.messages - n);
  const turns = await byTurns(
    async () => ({
      ms: quantile(await ours.run('syncPages', large.group, beforeSeqs, ['file']), 0.5),
    }),
    async () => ({ ms: quantile(await bare.run('readFilePages', beforeSeqs), 0.5) }),
  );
  const { ours: filtered, bare: query } = turns;
  return [cost('page of 50 files among 1,000,000, p50', 'ms', filtered.ms, query.ms)];
}
