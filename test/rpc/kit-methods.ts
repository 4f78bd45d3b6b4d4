import { HistoryService } from '../../clients/gen/backscroll/history/v1/history_pb.ts';

/** Stands in for a method of any kind that no test calls. */
export function uncalled(): never {
  throw new Error('no test calls this method');
}

/** The same for each method of the service, under its name. */
export function forEachMethod<T>(value: T): Record<keyof typeof HistoryService.method, T> {
  const names = Object.keys(HistoryService.method) as (keyof typeof HistoryService.method)[];
  return Object.fromEntries(names.map((name) => [name, value])) as Record<
    (typeof names)[number],
    T
  >;
}
