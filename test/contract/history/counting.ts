import type { Database } from '../../../services/history/store/database.ts';

/** What is asked of a database: a statement by itself, a transaction, or a statement in one. */
export type Asked = 'statements' | 'transactions' | 'inTransactions';

/** How much was asked of a database. */
export type Counts = Record<Asked, number>;

/** A database that counts into `counts` what is asked of it. */
export function counting(database: Database, counts: Counts): Database {
  return interrupted(database, async (asked) => {
    counts[asked]++;
  });
}

/** A database that waits for `before` before each thing that is asked of it. */
export function interrupted(database: Database, before: (asked: Asked) => Promise<void>): Database {
  const over = <Session extends object>(session: Session, asked: Asked): Session =>
    new Proxy(session, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        return async (...given: unknown[]) => {
          const nothing = name === 'rowsOfEach' && (given[1] as readonly unknown[]).length === 0;
          if (!nothing) await before(asked);
          return member.apply(target, given);
        };
      },
    });
  const run: Database['run'] = (work, signal) =>
    database.run((session) => work(over(session, 'statements')), signal);
  const transaction: Database['transaction'] = async (work) => {
    await before('transactions');
    return database.transaction((session) => work(over(session, 'inTransactions')));
  };
  return new Proxy(database, {
    get(target, name) {
      if (name === 'run') return run;
      if (name === 'transaction') return transaction;
      return Reflect.get(target, name);
    },
  });
}
