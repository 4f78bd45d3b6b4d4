import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { whole } from '../support/file-server.ts';
import { bytesAt, path, server, told, useFiles } from './device-files-harness.ts';
import { harness, Reader, useHarness } from './device-harness.ts';

const BOB = { peer: 'bob' };

useHarness();
useFiles();

it('files of messages that wait are fetched once these were sent, unless their content is told', async () => {
  await using device = await harness.open('alice');
  const all = [randomBytes(1_000), randomBytes(2_000)];
  const [known, other] = all.map((bytes) => told(bytes, server.put(path(), whole(bytes))));
  device.append(BOB, { content: { files: [known!, { url: other!.url! }] } });
  const waiting = new Reader(device, BOB);
  waiting.session.read(1);
  const [message] = waiting.messages;
  expect(message).toMatchObject({ seq: undefined, status: 'outbox' });
  device.showing([message!]);
  expect(device.file(message!, 1)).toMatchObject({ state: 'absent' });
  expect(await bytesAt(await device.fetchFile(message!))).toEqual(all[0]);
  await expect(device.fetchFile(message!, 1)).rejects.toMatchObject({ reason: 'NOT_SENT' });
  expect(server.asked).toHaveLength(1);
  await device.flush();
  const sent = new Reader(device, BOB);
  sent.session.read(1);
  expect(sent.messages[0]).toMatchObject({ seq: 1 });
  expect(await bytesAt(await device.fetchFile(sent.messages[0]!, 1))).toEqual(all[1]);
  expect(device.file(sent.messages[0]!, 1).state).toBe('present');
});
