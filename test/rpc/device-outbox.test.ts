import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { Device } from '../../clients/device/index.ts';
import { HistoryHarness } from './history-harness.ts';

const history = await HistoryHarness.start('sqlite');

async function openDevice(user: string) {
  const folder = await mkdtempDisposable(join(tmpdir(), 'device-'));
  const device = await Device.open({
    database: join(folder.path, 'device.db'),
    user,
    history: history.server.address,
    backup: '127.0.0.1:1',
  });
  return { device, folder };
}

test('sends what was said, in order', async () => {
  const { device } = await openDevice('ana');
  device.append({ peer: 'ben' }, { content: { text: 'one' } });
  device.append({ peer: 'ben' }, { content: { text: 'two' } });
  device.start();
  await vi.waitFor(() => {
    const texts: unknown[] = [];
    device
      .readSession({ peer: 'ben' }, ({ text, status, seq }) => texts.push([text, status, seq]))
      .read(10);
    expect(texts).toEqual([
      ['two', 'sent', 2],
      ['one', 'sent', 1],
    ]);
  });
  await device.close();
});
