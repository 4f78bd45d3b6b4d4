/**
 * A device of alice's in a process of its own: `device-sender.ts DATABASE HISTORY_ADDRESS FROM [TO]`. It says
 * one number after the other, in turn to bob and to a group, and prints each once it is in the outbox.
 * With TO, it closes the device when all up to there was sent, and nothing is left to keep the process.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { Device } from '../../clients/device/index.ts';

const [, , database = '', history = '', from, to = Number.MAX_SAFE_INTEGER] = process.argv;
const conversations = [{ peer: 'bob' }, { group: 'room' }] as const;

const device = await Device.open({ database, user: 'alice', history, backup: '127.0.0.1:1' });
device.start();
for (let n = Number(from); n <= Number(to); n++) {
  device.append(conversations[n % 2]!, { id: `${n}`, content: { text: `${n}` } });
  process.stdout.write(`${n}\n`);
  await turn();
}
const waits = () => conversations.some((conversation) => device.counts(conversation).waiting > 0);
while (waits()) await new Promise((resolve) => device.once('sent', resolve));
await device.close();
