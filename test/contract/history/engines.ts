import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import { HistoryContext } from '../../../services/history/context.ts';
import { freshDatabase } from '../../support/databases.ts';

/** An engine under test: the service's context over an empty database of a test's own. */
export type OpenContext = (stack: AsyncDisposableStack) => Promise<HistoryContext>;

/** Every engine of the history store, by name. */
export const engines: readonly (readonly [name: string, open: OpenContext])[] = [
  [
    'sqlite',
    async (stack) => {
      const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'history-')));
      return migrated(stack, `sqlite:${join(folder.path, 'made', 'history.db')}`);
    },
  ],
  [
    'mysql',
    async (stack) => migrated(stack, stack.use(await freshDatabase(inject('mysqlUrl'))).url),
  ],
];

/** Opens a database and gives it its schema. */
export async function migrated(stack: AsyncDisposableStack, url: string): Promise<HistoryContext> {
  const context = stack.use(new HistoryContext(url, Date.now));
  await context.migrate();
  return context;
}

/** A signal that never fires. */
export const never = new AbortController().signal;
