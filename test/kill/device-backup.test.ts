import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Device } from '../../clients/device/index.ts';
import { linesOf } from '../support/backscroll.ts';
import { auditOf, messagesOf } from '../support/device-messages.ts';
import { eventually } from '../support/eventually.ts';
import { TestProcess } from '../support/processes.ts';

const dieAtCall = fileURLToPath(new URL('../support/die-at-call.ts', import.meta.url));
const nowhere = '127.0.0.1:1';
let folder: string;
let older: string;
let newer: string;

/** Two databases of a user's: with 300 messages, and with 500. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'backscroll-device-kill-'));
  [older, newer] = [join(folder, 'older.db'), join(folder, 'newer.db')];
  for (const [database, count] of [
    [older, 300],
    [newer, 500],
  ] as const) {
    await using device = await Device.open({
      ...{ database, user: 'ana', history: nowhere, backup: nowhere },
    });
    device.receive({ peer: 'bob' }, messagesOf(1, count));
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * Has a device with 500 messages do something with `other.db`, which has 300, and kills it before each of
 * its calls of the file system in turn, until it gets to its end. `check` looks at what that leaves, and
 * tells whether it is what comes of it.
 */
async function killAtEachStep(
  what: 'backup' | 'restore',
  check: (home: string) => Promise<boolean>,
): Promise<string> {
  const steps: string[] = [];
  for (;;) {
    const home = join(folder, `${what}-${steps.length + 1}`);
    mkdirSync(home);
    const [path, other] = [join(home, 'device.db'), join(home, 'other.db')];
    copyFileSync(newer, path);
    copyFileSync(older, other);
    await using process = new TestProcess(
      [
        ...['--import', dieAtCall, 'test/support/device-process.ts'],
        ...[path, 'ana', nowhere, what, other],
      ],
      { DIE_AT_CALL: `${steps.length + 1}` },
    );
    const { code, signal } = await process.exited;
    if (signal === null) expect([code, process.stderr]).toEqual([0, '']);
    const isDone = await check(home);
    // What it made besides goes without it.
    const folders = () => readdirSync(home).filter((name) => /\.(snapshot|restore)-/.test(name));
    await eventually(() => expect(folders()).toEqual([]));
    if (signal === null) {
      expect(isDone).toBe(true);
      console.log(`  killed before each of: ${steps.join(', ')}`);
      return steps.join();
    }
    steps.push(`${linesOf(process.stdout).at(-1)}${isDone ? ' (done)' : ''}`);
  }
}

it('leaves the old backup or the new one whole, whichever step is the last', async () => {
  const steps = await killAtEachStep('backup', async (home) => {
    const path = join(home, 'device.db');
    const count = auditOf(join(home, 'other.db'));
    expect([300, 500]).toContain(count);
    expect(auditOf(path)).toBe(500);
    return count === 500;
  });
  expect(steps).toMatch(/sync,.*rename,.*done/);
});

it('leaves the old database or the restored one whole, whichever step is the last', async () => {
  const steps = await killAtEachStep('restore', async (home) => {
    const path = join(home, 'device.db');
    const count = auditOf(path);
    expect([300, 500]).toContain(count);
    expect(auditOf(join(home, 'other.db'))).toBe(300);
    const kept = `${path}.before-restore`;
    if (count === 300 || existsSync(kept)) expect(auditOf(kept)).toBe(500);
    await using device = await Device.open({
      ...{ database: path, user: 'ana', history: nowhere, backup: nowhere },
    });
    expect(await device.restoreDatabase(join(home, 'other.db'))).toBe(0);
    expect(existsSync(`${kept}-2`)).toBe(count === 300);
    return count === 300;
  });
  expect(steps).toMatch(/link,.*rm,.*rename,.*done/);
});
