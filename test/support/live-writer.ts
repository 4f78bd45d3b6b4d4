/**
 * Writes to a database all the time (see `live-database.ts`), and prints now and then how many
 * transfers are committed: `live-writer.ts PATH TIMEOUT_MS`. Fails where the database stays locked for
 * longer than that. Ends with its standard input.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Transfers } from './live-database.ts';

const [, , path = '', timeoutMs] = process.argv;
using transfers = new Transfers(path, Number(timeoutMs));
let ended = false;
process.stdin.on('end', () => (ended = true)).resume();
while (!ended) {
  let made = 0;
  for (let n = 0; n < 20; n++) made = transfers.next();
  process.stdout.write(`${made}\n`);
  // Lets others have the processor, too.
  await delay(1);
}
