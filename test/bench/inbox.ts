import { byTurns, quantile } from './measure.ts';
import { cost, type Result } from './result.ts';
import type { Bench } from './setup.ts';

/** Users by the number of their conversations, and what their inbox may cost beside a page of 50. */
const users = [
  { conversations: 200, reach: 10 },
  { conversations: 10_000, reach: 300 },
];

const large = 'bench';

/** Makes the users' conversations: groups with a few messages, unread. */
export async function fillInbox({ ours }: Bench): Promise<void> {
  for (const { conversations } of users) {
    await ours.run('fillInbox', userOf(conversations), conversations);
  }
}

/** 50 conversations of an inbox beside a page of 50 messages. */
export async function measureInbox({ ours }: Bench): Promise<Result[]> {
  const results: Result[] = [];
  for (const { conversations, reach } of users) {
    const times = conversations > 1_000 ? 5 : 50;
    const turns = await byTurns(
      async () => ({
        ms: quantile(await ours.run('listInbox', userOf(conversations), times), 0.5),
      }),
      async () => ({
        ms: quantile(await ours.run('syncPages', large, Array(200).fill(900_000), []), 0.5),
      }),
    );
    const name = `inbox of ${conversations.toLocaleString('en-US')}, beside a page of 50`;
    results.push(cost(name, 'ms', turns.ours.ms, turns.bare.ms, reach));
  }
  return results;
}

function userOf(conversations: number): string {
  return `has ${conversations}`;
}
