import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { HistoryClient } from '../../clients/history/history-client.ts';
import { ended, jsonOf, startBackscroll } from '../support/backscroll.ts';
import { startService } from '../support/processes.ts';

const used = new AsyncDisposableStack();
const home = used.use(mkdtempDisposableSync(join(tmpdir(), 'backscroll-cli-device-'))).path;

/** Where the services are that this file's tests use, for the command; set before its tests begin. */
export const environment: Record<string, string> = {};
/** A client of the history service. */
export let client: HistoryClient;

beforeAll(async () => {
  const [history, backup] = await Promise.all([
    startService('history', { HISTORY_DATABASE_URL: `sqlite:${join(home, 'history.db')}` }),
    startService('backup', { BACKUP_STORE_URL: `file:${join(home, 'backups')}` }),
  ]);
  used.use(history);
  used.use(backup);
  client = used.use(new HistoryClient(history.address));
  Object.assign(environment, {
    BACKSCROLL_HISTORY: history.address,
    BACKSCROLL_BACKUP: backup.address,
  });
});

afterAll(() => used.disposeAsync());

/** A path in this file's own folder. */
export const at = (name: string) => join(home, name);

/** Runs a device's command. */
export const device = (...args: string[]) =>
  ended(startBackscroll(environment, ['device', ...args]));

/** Runs a device's command to its good end. */
export async function done(...args: string[]) {
  const result = await device(...args);
  expect(result.code, result.stderr).toBe(0);
  return result;
}

/** What a device's command says with `--json`. */
export const json = async (...args: string[]) => jsonOf((await done(...args, '--json')).stdout);

/** A user's device. */
export const of = (user: string, file = `${user}.db`) => ['--user', user, '--database', at(file)];

/** Where no service is. */
export const AWAY = ['--history', 'localhost:1', '--backup', 'localhost:1'];

/** `count` messages of two users by turns, `1` to `count` by their texts. */
export async function chat(user: string, peer: string, count: number): Promise<void> {
  const messages = Array.from({ length: count }, (_, n) => ({
    sender: n % 2 === 0 ? user : peer,
    content: { text: `${n + 1}` },
  }));
  await client.append({ user, peer, messages });
}

/** The texts of messages. */
export const texts = (lines: { text: string }[]) => lines.map(({ text }) => text);
