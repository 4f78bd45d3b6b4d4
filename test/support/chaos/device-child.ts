/**
 * `device-child.ts DATABASE USER HISTORY SEED PLACES NAME`: a device that reads, fetches and says things
 * until it is killed. Prints, line by line, where it just said something and the message's id; the id is
 * empty where it did something else.
 */
import { type ConversationName, Device } from '../../../clients/device/index.ts';
import { Random } from '../random.ts';

const [, , database = '', user = '', history = '', seed, places = '[]', name] = process.argv;
const random = new Random(Number(seed));
const names = JSON.parse(places) as ConversationName[];
const device = await Device.open({ database, user, history, backup: '127.0.0.1:1' });
device.start();
const print = (where: ConversationName, id: string) =>
  process.stdout.write(`${JSON.stringify([JSON.stringify(where), id])}\n`);

for (let n = 0; ; n++) {
  const where = random.pick(names);
  if (random.oneIn(3)) {
    const id = `${name} ${n}`;
    device.append(where, { id, content: { text: id } });
    print(where, id);
    continue;
  }
  // Not awaited: a kill finds some on their way.
  const session = device.readSession({ ...where, receipts: random.oneIn(3) }, () => {});
  const done = session.more(random.between(1, 300)).catch(() => {});
  if (random.oneIn(2)) await done;
  print(where, '');
}
