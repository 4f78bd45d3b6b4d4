// A program of somebody else's, which the pack test compiles against the installed package and runs.
import { deepStrictEqual, rejects, strictEqual } from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import {
  BackscrollError,
  BackupClient,
  DirectoryClient,
  HistoryClient,
  HistoryVisibility,
  type ImportBatch,
  type Message,
  Role,
  restore,
  snapshot,
} from '@backscroll/clients';
import { Device, type DeviceOptions, type LocalMessage } from '@backscroll/clients/device';
import { MessageSchema } from '@backscroll/clients/gen/backscroll/history/v1/message';

const { HISTORY, BACKUP, DATABASE, USER_NAME: user } = process.env as Record<string, string>;

const history = new HistoryClient(HISTORY!);
const appended = await history.append({
  user: user!,
  peer: 'bob',
  messages: [{ content: { text: 'Hello' } }, { content: { text: 'Bob' } }],
});
deepStrictEqual(
  appended.messages.map(({ seq }) => seq),
  [1n, 2n],
);
const batch: ImportBatch = { runs: [{ group: user!, messages: [{ id: '1', sentAtMs: 5n }] }] };
for await (const { added } of history.import([batch])) strictEqual(added, 1);
const page = history.sync({ user: 'bob', peer: user! });
const texts: string[] = [];
for await (const message of page) {
  const { content }: Message = message;
  texts.push(content?.text ?? '');
}
deepStrictEqual(texts, ['Bob', 'Hello']);
strictEqual((await page.result).reachedOldest, true);
strictEqual(MessageSchema.typeName, 'backscroll.history.v1.Message');
// @ts-expect-error A pair is named by both.
await rejects(history.sync({ peer: 'bob' }).collect(), BackscrollError);
const { revision } = await history.edit({ user: user!, peer: 'bob', seq: 1, content: {} });
const changes = await history.changes({ user: 'bob', peer: user!, sinceRevision: 0 }).collect();
strictEqual(changes.messages[0]?.revision, revision);
const { conversations } = await history.inbox({ user: user! }).collect();
strictEqual(conversations[0]?.lastMessage?.seq, 2n);
history.close();

const directory = new DirectoryClient(HISTORY!);
const club = { user: user!, group: `club of ${user}` };
const settings = { historyVisibility: HistoryVisibility.LAST, visibleMessages: 5n };
strictEqual((await directory.createGroup({ ...club, ...settings })).memberCount, 1);
for await (const { role } of directory.members(club)) strictEqual(role, Role.OWNER);
directory.close();

const backups = new BackupClient(BACKUP!);
strictEqual((await backups.age({ user: user! })).ageSeconds, -1);
const { backup } = await backups.upload(DATABASE!, { user: user! });
const restored = `restored-${user}.db`;
await backups.downloadToFile(restored, { user: user!, number: backup.number });
deepStrictEqual(await readFile(restored), await readFile(DATABASE!));
const hasSqlite = Number.parseInt(process.versions.node, 10) >= 24;
if (hasSqlite) {
  const copy = await snapshot(DATABASE!, { folder: '.' });
  await backups.upload(copy.path, { user: user! });
  await copy[Symbol.asyncDispose]();
} else {
  await rejects(snapshot(DATABASE!), { reason: 'NODE_TOO_OLD' });
}
const { checked, keptPath } = await restore(backups, restored, { user: user! });
strictEqual(checked, hasSqlite);
deepStrictEqual(await readFile(keptPath!), await readFile(DATABASE!));
await rejects(backups.download({ user: 'nobody' }), { reason: 'BACKUP_NOT_FOUND' });
backups.close();

const options: DeviceOptions = {
  ...{ database: `device-${user}.db`, user: user! },
  ...{ history: HISTORY!, backup: BACKUP! },
};
if (hasSqlite) {
  const device = await Device.open(options);
  const read: LocalMessage[] = [];
  const session = device.readSession({ peer: 'bob' }, (message) => read.push(message));
  strictEqual(session.read(10), 0);
  strictEqual(await session.sync(10), 2);
  strictEqual(session.read(10), 2);
  strictEqual(read[0]?.text, 'Bob');
  strictEqual((await device.uploadBackup({ database: 'device.db' })).backup.number, 1n);
  await device.close();
} else {
  await rejects(Device.open(options), { reason: 'NODE_TOO_OLD' });
}

console.log(`works on Node ${process.versions.node}`);
