import type { Bound, Value } from './database.ts';

/** A list of one as its value, which needs no text of its own; for an empty one NULL, which nothing equals. */
export function singled(value: Bound): Bound {
  return isList(value) && value.length <= 1 ? (value[0] ?? null) : value;
}

/** Whether it is a list. */
export function isList(value: Bound): value is readonly Value[] {
  return Array.isArray(value);
}
