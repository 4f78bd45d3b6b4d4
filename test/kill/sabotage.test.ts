import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BackupStorm } from '../support/chaos/backup-storm.ts';
import { CopyStorm } from '../support/chaos/copy-storm.ts';
import { HistoryStorm } from '../support/chaos/history-storm.ts';
import { rageRound, type Victim } from '../support/chaos/storm.ts';
import { ServiceVictim } from '../support/chaos/victims.ts';
import { Random } from '../support/random.ts';

/** Puts a second copy of each conversation's first message at its end. */
const doubleFirstMessages = `
  INSERT INTO message
      (conversation_id, seq, message_id, sender, sent_at_ms, content_hash, body)
    SELECT conversation_id, last_seq + 1, CAST(message_id || '+' AS BLOB), sender, sent_at_ms,
        content_hash, body
      FROM message JOIN conversation USING (conversation_id) WHERE seq = 1;
  UPDATE conversation SET last_seq = last_seq + 1`;

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backscroll-sabotage-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

// The kill tests are worth something only if they fail where a promise is broken: here what is stored
// is damaged while the service is dead.
describe('a storm notices', () => {
  test.each([
    ['lost', 'DELETE FROM message WHERE seq = 1', /lost|hole|a page|no kill excuses/],
    ['doubled', doubleFirstMessages, /doubled/],
  ])('messages that are %s', async (name, statements, fault) => {
    const path = join(folder, `${name}.db`);
    const env = { HISTORY_DATABASE_URL: `sqlite:${path}` };
    await using service = await ServiceVictim.launch('history', env);
    const victim = sabotaged(service, () => {
      using database = new DatabaseSync(path);
      database.exec(statements);
    });
    using storm = new HistoryStorm(name, service.address, [[victim]]);
    await expect(rageRound(storm, new Random(1), 1)).rejects.toThrow(fault);
  });

  test.each([
    ['members let in to all', `UPDATE member SET intervals = CAST('[[1]]' AS BLOB), role = 1`],
    ['inboxes that were emptied', 'DELETE FROM membership'],
    ['marks that fell', 'UPDATE member SET read_seq = 0, delivered_seq = 0'],
    ['changes that nobody is told', 'DELETE FROM change_log'],
  ])('%s', async (name, statements) => {
    const path = join(folder, `${name}.db`);
    const env = { HISTORY_DATABASE_URL: `sqlite:${path}` };
    await using service = await ServiceVictim.launch('history', env);
    let deaths = 0;
    const victim = sabotaged(service, () => {
      // Before the first there may be little to damage.
      if (++deaths < 2) return;
      using database = new DatabaseSync(path);
      database.exec(statements);
    });
    using storm = new CopyStorm(name, [service.address], [[victim]], 600);
    await expect(rageRound(storm, new Random(1), 2)).rejects.toThrow(/broken|failed/);
  });

  test.each([
    ['lost', 'heads', (path: string) => rmSync(path), /lost|newest|no kill excuses/],
    ['damaged', 'packs', damageByte, /DATA_LOSS|no kill excuses|torn|damaged|digest/],
  ])('backups that are %s', async (name, objects, damage, fault) => {
    const store = join(folder, name);
    const env = { BACKUP_STORE_URL: `file:${store}` };
    await using service = await ServiceVictim.launch('backup', env);
    const victim = sabotaged(service, () => {
      for (const path of globSync(join(store, '**', objects, '*'))) damage(path);
    });
    using storm = new BackupStorm(name, service.address, [[victim]]);
    // Several kills, because the first may come before there is anything to damage.
    await expect(rageRound(storm, new Random(1), 4)).rejects.toThrow(fault);
  });
});

/** A victim whose data is damaged between its death and its next start. */
function sabotaged(service: Victim, sabotage: () => void): Victim {
  return {
    name: service.name,
    kill: () => service.kill(),
    async start() {
      sabotage();
      await service.start();
    },
  };
}

/** However often it is done: a bit that is flipped twice is whole again. */
function damageByte(path: string): void {
  const bytes = readFileSync(path);
  const middle = bytes.length >> 1;
  bytes[middle] = ((bytes[middle] ?? 0) + 1) % 256;
  writeFileSync(path, bytes);
}
