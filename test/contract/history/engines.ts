import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject, onTestFinished } from 'vitest';
import { HistoryContext } from '../../../services/history/context.ts';
import { freshDatabase } from '../../support/databases.ts';

/** An engine under test: where an empty database of a test's own is. */
type MakeDatabase = (stack: AsyncDisposableStack) => Promise<string>;

/** Every database of the history store, by the name of its engine: several contexts may open one. */
export const databases: readonly (readonly [name: string, make: MakeDatabase])[] = [
  [
    'sqlite',
    async (stack) => {
      const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'history-')));
      return `sqlite:${join(folder.path, 'made', 'history.db')}`;
    },
  ],
  ['mysql', async (stack) => stack.use(await freshDatabase(inject('mysqlUrl'))).url],
];

/** The service's context over an empty database of a test's own. */
export type OpenContext = (stack: AsyncDisposableStack) => Promise<HistoryContext>;

/** Every engine of the history store, by name. */
export const engines = databases.map(([name, make]): readonly [string, OpenContext] => [
  name,
  async (stack) => migrated(stack, await make(stack)),
]);

/** Opens a database and gives it its schema. */
export async function migrated(stack: AsyncDisposableStack, url: string): Promise<HistoryContext> {
  const context = stack.use(new HistoryContext(url, Date.now));
  await context.migrate();
  return context;
}

/** A context over an empty database of the running test's own, closed when the test has ended. */
export async function opened(open: OpenContext): Promise<HistoryContext> {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  return open(stack);
}

/** A signal that never fires. */
export const never = new AbortController().signal;
