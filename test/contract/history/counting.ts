import type { Database } from '../../../services/history/store/database.ts';

/** How much was asked of a database. */
export interface Counts {
  /** Statements by themselves. */
  statements: number;
  transactions: number;
  /** Statements in transactions, apart from their ends. */
  inTransactions: number;
}

/** A database that counts into `counts` what is asked of it. */
export function counting(database: Database, counts: Counts): Database {
  const counted = <Session extends object>(session: Session, count: () => void): Session =>
    new Proxy(session, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        return (...given: unknown[]) => {
          const nothing = name === 'rowsOfEach' && (given[1] as readonly unknown[]).length === 0;
          if (!nothing) count();
          return member.apply(target, given);
        };
      },
    });
  return new Proxy(database, {
    get(target, name) {
      if (name === 'run') {
        const run: Database['run'] = (work, signal) =>
          target.run((session) => work(counted(session, () => counts.statements++)), signal);
        return run;
      }
      if (name === 'transaction') {
        const transaction: Database['transaction'] = (work) => {
          counts.transactions++;
          return target.transaction((session) =>
            work(counted(session, () => counts.inTransactions++)),
          );
        };
        return transaction;
      }
      return Reflect.get(target, name);
    },
  });
}
