import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { Random } from '../../support/random.ts';
import { methodsOf } from './calls.ts';
import { engines, opened } from './engines.ts';
import { expectTrue, naivePage, randomRequest } from './naive-page.ts';
import { NOW_MS, randomPast, writePast } from './past.ts';

/** Requests made of each past. */
const REQUESTS = 25;

describe.each(engines)('pages of any past: %s', (_name, open) => {
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
  });

  it('agree with looking at every message', async () => {
    const { database, appends } = context;
    const { sync } = methodsOf({ database, appends, nowMs: () => NOW_MS });
    let made = 0;
    const sizes = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 250, max: 800 }));
    const views = fc.constantFrom('pair', 'self', 'member', 'service');
    const pasts = fc.asyncProperty(views, sizes, fc.nat(), async (view, size, seed) => {
      const random = new Random(seed);
      const name = `name${made++}`;
      const user = view === 'service' ? '' : view === 'self' ? name : random.pick(['alice', 'zoe']);
      const inPair = view === 'pair' || view === 'self';
      const conversation = inPair ? pair(user, name) : group(name);
      const past = randomPast(random, conversation, user, size);
      await writePast(database, past);
      const address = {
        user,
        conversation: { case: inPair ? ('peer' as const) : ('group' as const), value: name },
      };
      for (let n = 0; n < REQUESTS; n++) {
        const asked = randomRequest(random, past);
        const expected = naivePage(past, asked);
        if (expected === undefined) {
          const refused = { reason: 'MESSAGE_NOT_FOUND' };
          await expect(sync({ ...address, ...asked })).rejects.toMatchObject(refused);
          continue;
        }
        const { messages, result } = await sync({ ...address, ...asked });
        expect(messages).toEqual(expected);
        expectTrue(past, asked, messages, result!);
      }
    });
    await fc.assert(pasts, { numRuns: 40 });
  });
});
