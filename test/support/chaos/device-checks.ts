import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { create, toBinary } from '@bufbuild/protobuf';
import { checkContent } from '../../../clients/device/local/content.ts';
import type { ConversationRow } from '../../../clients/device/local/conversation-row.ts';
import type { Interval } from '../../../clients/device/local/intervals.ts';
import { LocalStore } from '../../../clients/device/local/local-store.ts';
import {
  KIND,
  LocalMessage,
  MESSAGE_COLUMNS,
  type MessageRow,
} from '../../../clients/device/local/message.ts';
import { openDatabase } from '../../../clients/device/local/open.ts';
import { isReason } from '../../../clients/errors.ts';
import {
  ContentSchema,
  type Message,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Filter, MessageKind } from '../../../clients/history/history-requests.ts';
import { addressOf, type DeviceTown, type Place, person } from './device-town.ts';
import type { OwnedDevice } from './owned-device.ts';
import { pause } from './patience.ts';

/** Longest that an outbox takes to be sent, in milliseconds. */
const sentMs = 120_000;

/** Holds a device to the service wherever it claims to know; gives how many messages it claimed to. */
export async function checkDevice(
  town: DeviceTown,
  owned: OwnedDevice,
  signal: AbortSignal,
): Promise<number> {
  const { device } = owned;
  const store = new LocalStore(openDatabase(owned.path, person), person);
  try {
    await untilSent(owned, store, signal);
    await device.stop();
    await device.refresh();
    // What a restore of its backup would check.
    await checkContent(store.sqlite, signal);
    let compared = 0;
    for (const place of town.places) {
      if (!store.conversation(place.name)) continue;
      if (place.gone) {
        checkGone(owned, store, place);
        continue;
      }
      compared += await checkPlace(town, owned, store, place);
      await checkSaid(town, owned, store, place, signal);
    }
    device.start();
    return compared;
  } finally {
    store.sqlite.close();
  }
}

/** Begins anew with sending, without the pauses after failures, and waits for it. */
async function untilSent(
  { device, name }: OwnedDevice,
  store: LocalStore,
  signal: AbortSignal,
): Promise<void> {
  await device.stop();
  device.start();
  const endMs = Date.now() + sentMs;
  const waiting = 'SELECT count(*) AS count FROM outbox WHERE failure IS NULL';
  while (store.sqlite.get(waiting)?.count !== 0) {
    if (Date.now() > endMs) throw new Error(`${name}: the outbox is not sent`);
    await pause(signal);
  }
}

/** Nothing is left of a group that was deleted, whether the person was in it then or before. */
function checkGone({ name }: OwnedDevice, store: LocalStore, place: Place): void {
  const row = store.conversation(place.name)!;
  if (!store.holdsAny(row.id) && rowsOf(store, row).length === 0) return;
  throw new Error(`${name} still has ${place.key}, which was deleted`);
}

/** What the service shows the person of a place, under a filter. */
interface Truth {
  readonly messages: ReadonlyMap<number, Message>;
  readonly floor: number;
  readonly epoch: number;
  readonly revision: number;
}

async function truthOf(town: DeviceTown, place: Place, filter?: Filter): Promise<Truth> {
  const { messages, result } = await town.history
    .sync({
      ...addressOf(place, person),
      filter,
      afterSeq: 0,
      count: 1_000_000,
      order: 'oldest-first',
    })
    .collect();
  return {
    messages: new Map(messages.map((message) => [Number(message.seq), message])),
    floor: Number(result.floorSeq),
    epoch: Number(result.epoch),
    revision: Number(result.revision),
  };
}

/** Compares a place; once more where a sweep came in between. */
async function checkPlace(
  town: DeviceTown,
  owned: OwnedDevice,
  store: LocalStore,
  place: Place,
): Promise<number> {
  for (;;) {
    try {
      // Corrects what is held, and fetches nothing.
      await owned.device.readSession(place.name, () => {}).sync(0);
      const truth = await truthOf(town, place);
      const row = store.conversation(place.name)!;
      if (row.floor_seq !== truth.floor && store.holdsAny(row.id)) continue;
      return await compare(town, owned, store, place, truth);
    } catch (error) {
      // Never was in the group.
      if (isReason(error, 'NOT_A_MEMBER')) return 0;
      throw error;
    }
  }
}

async function compare(
  town: DeviceTown,
  owned: OwnedDevice,
  store: LocalStore,
  place: Place,
  truth: Truth,
): Promise<number> {
  const row = store.conversation(place.name)!;
  const where = `${owned.name} in ${place.key}`;
  if (store.holdsAny(row.id) && (row.revision !== truth.revision || row.epoch !== truth.epoch)) {
    throw new Error(`${where}: is right as of ${row.revision}, epoch ${row.epoch}`);
  }
  const filters = store.sqlite.all<{ filter: string }>(
    'SELECT DISTINCT filter FROM known WHERE conversation_id = ?',
    row.id,
  );
  const rows = new Map(rowsOf(store, row).map((message) => [message.seq, message]));
  let compared = 0;
  for (const { filter } of filters) {
    const due = filter === '' ? truth : await truthOf(town, place, filterOf(filter));
    for (const interval of store.known(row.id, filter)) {
      compared += checkInterval(`${where}, filter '${filter}'`, interval, rows, due, filter === '');
    }
  }
  const nowMs = Date.now();
  for (const message of rows.values()) {
    if (isGone(message.expires_at_ms, nowMs)) continue;
    const due = truth.messages.get(message.seq);
    if (!due) throw new Error(`${where}: holds ${message.seq}, which is not to be seen`);
    checkMessage(where, message, due);
  }
  return compared;
}

/** Everything that is to be seen is there, and where all is known nothing else is. */
function checkInterval(
  where: string,
  { from, to }: Interval,
  rows: ReadonlyMap<number, MessageRow>,
  truth: Truth,
  isAll: boolean,
): number {
  const nowMs = Date.now();
  const due = [...truth.messages.values()].filter(
    ({ seq, expiresAtMs }) =>
      Number(seq) >= from && Number(seq) <= to && !isGone(Number(expiresAtMs), nowMs),
  );
  const lost = due.filter(({ seq }) => !rows.has(Number(seq))).map(({ seq }) => seq);
  if (lost.length > 0) throw new Error(`${where}: ${from} to ${to} lacks ${lost}`);
  if (!isAll) return due.length;
  const more = [...rows.values()].filter(
    ({ seq, expires_at_ms }) =>
      seq >= from && seq <= to && !isGone(expires_at_ms, nowMs) && !truth.messages.has(seq),
  );
  if (more.length > 0) throw new Error(`${where}: has ${more.map(({ seq }) => seq)} too many`);
  return due.length;
}

/** What vanishes about now may be seen here and not there. */
function isGone(expiresAtMs: number, nowMs: number): boolean {
  return expiresAtMs > 0 && expiresAtMs <= nowMs;
}

/** All that an app is handed of a message is what the service gives. */
function checkMessage(where: string, row: MessageRow, due: Message): void {
  const local = new LocalMessage({ peer: '' }, row, 'received', 'database');
  const got = [
    ...[local.seq, local.id, local.sender, local.sentAtMs, local.editedAtMs, local.deletedAtMs],
    ...[local.revision, local.expiresAtMs, local.content && digestOf(local.content)],
    local.text,
  ];
  const { seq, id, sender, sentAtMs, editedAtMs, deletedAtMs, revision, expiresAtMs } = due;
  const want = [
    ...[Number(seq), id, sender, Number(sentAtMs), Number(editedAtMs), Number(deletedAtMs)],
    ...[Number(revision), Number(expiresAtMs), due.content && digestOf(due.content)],
    due.content?.text ?? '',
  ];
  // The content of a message that says nothing is absent or empty.
  if (!isDeepStrictEqual(got, want) && !(due.deletedAtMs === 0n && !due.content)) {
    throw new Error(`${where}: holds ${JSON.stringify(got)}, not ${JSON.stringify(want)}`);
  }
}

function digestOf(content: NonNullable<Message['content']>): string {
  return hash('sha1', toBinary(ContentSchema, create(ContentSchema, content)), 'base64');
}

function rowsOf(store: LocalStore, { id }: ConversationRow): MessageRow[] {
  return store.sqlite.all<MessageRow>(
    `SELECT ${MESSAGE_COLUMNS} FROM message WHERE conversation_id = ?`,
    id,
  );
}

/** The filter that stands under a key of \`known\`. */
function filterOf(key: string): Filter {
  const [, bits, thread] = /^(\d+):(.*)$/s.exec(key) ?? [];
  const kinds = (Object.keys(KIND) as MessageKind[]).filter((kind) => KIND[kind] & Number(bits));
  return { kinds, thread };
}

/** What was said here stands there: all of it, each once, and in order. */
async function checkSaid(
  town: DeviceTown,
  owned: OwnedDevice,
  store: LocalStore,
  place: Place,
  signal: AbortSignal,
): Promise<void> {
  const where = `${owned.name} in ${place.key}`;
  const { group, peer } = place.name;
  const refused = new Set(
    store.sqlite
      .all<{ message_id: string }>('SELECT message_id FROM outbox')
      .map(({ message_id }) => message_id),
  );
  const whole = group === undefined ? { user: peer, peer: person } : { group };
  const { messages } = await town.history
    .sync({ ...whole, afterSeq: 0, count: 1_000_000, order: 'oldest-first' }, { signal })
    .collect();
  const seqs = new Map(messages.map(({ id, seq }) => [id, Number(seq)]));
  if (seqs.size < messages.length) throw new Error(`${place.key}: has an id twice`);
  for (const [key, ids] of owned.said) {
    if (!key.startsWith(place.key)) continue;
    let last = 0;
    for (const id of ids) {
      if (refused.has(id) && group !== undefined) continue;
      const seq = seqs.get(id);
      if (seq === undefined && place.retained) continue;
      // What a group refused once, an older backup may have sent since.
      if (seq === undefined || (seq < last && group === undefined)) {
        throw new Error(`${where}: ${id} is at ${seq} behind ${last}`);
      }
      last = seq;
    }
  }
}
