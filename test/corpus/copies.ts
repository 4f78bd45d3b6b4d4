import { adoptChats } from '../support/chaos/copy-imports.ts';
import { copiesFrom, survive } from '../support/chaos/worlds.ts';
import { chatFile, chatFiles, expectedConversations, readChatLines } from '../support/corpus.ts';
import { Random } from '../support/random.ts';
import type { Report } from './report.ts';

/** Kills of one round, after which all that was touched is looked at. */
const killsOfRound = 8;

/** Most operations between two kills. */
const mostBetweenKills = 4_000;

/** Longest that the look at everything takes, in milliseconds. */
const recheckMs = 900_000;

/**
 * Lets people loose on the chats of the corpus, which stand at `url` as they were imported, while
 * replicas of the service are killed: for at least `count` operations. Copies, inboxes and pages must
 * be right all the time, and everything that ever was acknowledged in the end.
 */
export async function checkCopies(
  report: Report,
  label: string,
  url: string,
  replicas: number,
  count: number,
  corpus: string,
): Promise<void> {
  const seed = Date.now() % 2 ** 32;
  const what = `${label}: exact copies through ${count} random operations, seed ${seed}`;
  await report.check(what, async (progress) => {
    await using world = await copiesFrom(label, url, replicas, mostBetweenKills);
    const { storm } = world;
    for (const name of chatFiles) {
      adoptChats(storm.life, await expectedConversations(readChatLines(chatFile(corpus, name))));
    }
    const random = new Random(seed);
    let kills = 0;
    while (storm.done < count) {
      await survive(world, random, killsOfRound, () => {
        kills++;
        progress.update(`${storm.done} operations, ${kills} kills`);
      });
    }
    const { faults, checked } = await storm.recheck(AbortSignal.timeout(recheckMs));
    if (faults.length > 0) throw new Error(faults.slice(0, 20).join('\n'));
    if (storm.done < count) throw new Error(`only ${storm.done} operations were carried out`);
    console.log(`  ${label}: seed ${seed}, ${storm.done} operations, ${kills} kills: ${checked}`);
  });
}
