import { expect, test } from 'vitest';
import { RESTORE } from '../../clients/device/index.ts';
import { eventually } from '../support/eventually.ts';
import { TestProcess } from '../support/processes.ts';
import { harness, Reader, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };

useHarness();

test('works by itself from start to stop, as often as told', async () => {
  await using device = await harness.open('alice');
  const sent: string[] = [];
  device.on('sent', (id) => sent.push(id));
  device.start();
  device.start();
  const first = device.append(bob, { content: { text: 'one' } });
  await eventually(() => expect(sent).toEqual([first]));
  await device.stop();
  await device.stop();
  const calls = harness.relay.calls.length;
  const second = device.append(bob, { content: { text: 'two' } });
  const stopping = device.stop();
  device.start();
  await stopping;
  expect(await device.restoreDatabase(harness.path())).toBe(RESTORE.alreadyStarted);
  await eventually(() => expect(sent).toEqual([first, second]));
  expect(harness.relay.calls).toHaveLength(calls + 1);
});

test('stopping aborts what is on its way, and starting sends it again', async () => {
  await using device = await harness.open('alice');
  const held = Promise.withResolvers<void>();
  const came = new Promise<void>((resolve) => {
    harness.relay.watch = () => {
      resolve();
      return held.promise;
    };
  });
  device.append(bob, { content: { text: 'one' } });
  device.start();
  await came;
  await device.stop();
  expect(device.counts(bob).waiting).toBe(1);
  harness.relay.watch = undefined;
  held.resolve();
  device.start();
  await eventually(() => expect(device.counts(bob)).toMatchObject({ stored: 1, waiting: 0 }));
});

test('closing aborts what is under way, waits for it, and may be repeated', async () => {
  await harness.chat(10);
  const device = await harness.open('alice');
  device.start();
  const { session } = new Reader(device, bob);
  const closing = new Promise<void>((resolve) => {
    // Never answered.
    harness.relay.watch = () => {
      resolve(Promise.all([device.close(), device.close()]).then(() => {}));
      return new Promise(() => {});
    };
  });
  await expect(session.sync(10)).rejects.toMatchObject({ reason: 'CANCELLED' });
  await closing;
  await device.close();
  await device.stop();
  await expect(session.sync(10)).rejects.toMatchObject({ reason: 'CANCELLED' });
  await expect(device.edit(bob, 1, { text: 'x' })).rejects.toMatchObject({ reason: 'CANCELLED' });
});

test('a process ends by itself once its device is closed', async () => {
  await using app = new TestProcess([
    ...['--input-type=module', '-e'],
    `import { once } from 'node:events';
     import { Device } from './clients/device/index.ts';
     const [, database, history] = process.argv;
     const device = await Device.open({ database, user: 'alice', history, backup: '127.0.0.1:1' });
     device.append({ peer: 'bob' }, { content: { text: 'one' } });
     device.start();
     await once(device, 'problem');
     await device.close();`,
    ...[harness.path(), '127.0.0.1:1'],
  ]);
  expect(await app.exited, app.stderr).toEqual({ code: 0, signal: null });
});
