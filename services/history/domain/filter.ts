import { type Filter, Kind } from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import { CONTENT } from '../limits.ts';
import type { Conversation } from '../store/model.ts';
import { checkBytes, type Faults } from './faults.ts';
import { KINDS } from './kinds.ts';

/** Notes what is wrong with the filter of a request made for `user`, who may be nobody. */
export function checkFilter(faults: Faults, filter: Filter | undefined, user: string): void {
  for (const [index, kind] of filter?.kinds.entries() ?? []) {
    const at = `filter.kinds[${index}]`;
    if (kind === Kind.UNSPECIFIED || !KNOWN.has(kind)) {
      faults.add('INVALID_FIELD', at, 'is no value that is known here');
    } else if (user === '' && (kind === Kind.INCOMING_CALL || kind === Kind.OUTGOING_CALL)) {
      faults.add('INVALID_FIELD', at, 'needs a user, whose calls they are');
    }
  }
  checkBytes(faults, () => 'filter.thread', filter?.thread ?? '', CONTENT.threadBytes);
}

const KNOWN: ReadonlySet<number> = new Set(Object.values(Kind));

/** Whether a filter lets anything through that another would not. */
export function isFiltering(filter: Filter | undefined): filter is Filter {
  return filter !== undefined && (filter.kinds.length > 0 || filter.thread !== '');
}

/** A value of `message.kinds` that a filter lets through. */
export interface Match {
  readonly kinds: number;
  /** Only those that the user sent, or only those that somebody else did; the kinds can't tell. */
  readonly by?: 'user' | 'other';
}

/** Every value of `message.kinds` that may match in this conversation, for this user. */
export function matchesOf(filter: Filter, conversation: Conversation, user: string): Match[] {
  return possibleKinds(conversation).flatMap((kinds) => {
    const senders = sendersWanted(filter.kinds, kinds, user);
    if (senders.size === 2) return { kinds };
    const [by] = senders;
    if (by === undefined) return [];
    if (conversation.kind === 'group') return { kinds, by };
    const byFirst = (kinds & KINDS.byFirst) !== 0;
    const byUser = (kinds & KINDS.byUnknown) === 0 && byFirst === (conversation.names[0] === user);
    return byUser === (by === 'user') ? { kinds } : [];
  });
}

function possibleKinds({ kind }: Conversation): number[] {
  const { text, file, call, missed, byFirst, byUnknown } = KINDS;
  const contents = [0, text, file, text | file];
  const calls = [0, call, call | missed];
  if (kind === 'pair') {
    for (const by of [byFirst, byUnknown]) calls.push(call | by, call | missed | by);
  }
  return calls.flatMap((some) => contents.map((content) => some | content));
}

/** Whose messages of these kinds are wanted: the user's own, somebody else's, both or none. */
function sendersWanted(
  wanted: readonly Kind[],
  kinds: number,
  user: string,
): Set<'user' | 'other'> {
  const has = (bit: number) => (kinds & bit) !== 0;
  const anybodys =
    wanted.length === 0 ||
    (wanted.includes(Kind.TEXT) && has(KINDS.text)) ||
    (wanted.includes(Kind.FILE) && has(KINDS.file)) ||
    (wanted.includes(Kind.CALL) && has(KINDS.call)) ||
    (wanted.includes(Kind.MISSED_CALL) && has(KINDS.missed) && user === '');
  if (anybodys) return new Set(['user', 'other']);
  const senders = new Set<'user' | 'other'>();
  if (wanted.includes(Kind.MISSED_CALL) && has(KINDS.missed)) senders.add('other');
  if (wanted.includes(Kind.INCOMING_CALL) && has(KINDS.call)) senders.add('other');
  if (wanted.includes(Kind.OUTGOING_CALL) && has(KINDS.call)) senders.add('user');
  return senders;
}
