/**
 * A device in a process of its own: `device-process.ts DATABASE USER BACKUP_ADDRESS WHAT [PATH]`. What it
 * did is printed, one line each. WHAT is
 * - `write`: receives message after message until its standard input ends, and prints how many it has;
 * - `backup` or `restore`: does that with PATH, and prints what it came to;
 * - `schedule`: backs up on a schedule until its standard input ends, and prints the outcomes.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Device } from '../../clients/device/index.ts';
import { messagesOf } from './device-messages.ts';

const [, , database = '', user = '', backup = '', what, path = ''] = process.argv;
const say = (line: unknown) => process.stdout.write(`${line}\n`);
const ended = new Promise((resolve) => process.stdin.on('end', resolve).resume());

await using device = await Device.open({ database, user, history: '127.0.0.1:1', backup });
if (what === 'write') {
  let writing = true;
  void ended.then(() => (writing = false));
  for (let seq = 1; writing; seq += 5) {
    device.receive({ peer: 'bob' }, messagesOf(seq, 5));
    say(seq + 4);
    // Lets others have the processor, too.
    await delay(1);
  }
} else if (what === 'schedule') {
  device.scheduleBackups({
    every: 300_000,
    minDatabaseAge: 0,
    jitter: 1,
    onResult: (result) => say(result.outcome),
  });
  device.start();
  say('started');
  await ended;
} else {
  say(what === 'backup' ? await device.backupDatabase(path) : await device.restoreDatabase(path));
  process.stdin.destroy();
}
