import { randomInt } from 'node:crypto';
import { expect, it } from 'vitest';
import { Random } from '../../support/random.ts';
import { engines, opened } from './engines.ts';
import { KeptModel } from './kept-model.ts';

/** About how many pages databases have, and how much happens to each: of the large one, downloads take a while. */
const DATABASES = [
  { pages: 3_000, steps: 20 },
  { pages: 200, steps: 50 },
  { pages: 200, steps: 50 },
];

it.each(engines)('backups are kept whatever happens: %s', async (_name, open) => {
  const store = await opened(open);
  for (const [database, { pages, steps }] of DATABASES.entries()) {
    const seed = Number(process.env.BACKUP_MODEL_SEED ?? randomInt(2 ** 32));
    const model = new KeptModel(store, `database ${database}`, pages, new Random(seed));
    try {
      for (let step = 0; step < steps; step++) await model.step();
      await model.finish();
    } catch (error) {
      const events = model.events.join(', ');
      throw new Error(`BACKUP_MODEL_SEED=${seed}, after ${events}`, { cause: error });
    }
  }
  expect(store.requestsInFlight).toBe(0);
});
