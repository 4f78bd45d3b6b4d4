import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Device } from '../../clients/device/index.ts';

/**
 * Starts a device of alice's in a process of its own, which reads all that bob said, fetches its files,
 * and ends with its standard input.
 */
export function startDeviceReader(database: string): ChildProcessByStdio<Writable, null, null> {
  return spawn(process.execPath, [fileURLToPath(import.meta.url), database], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
}

if (import.meta.main) {
  const [, , database = ''] = process.argv;
  const address = '127.0.0.1:1';
  await using device = await Device.open({
    ...{ database, user: 'alice', history: address, backup: address },
  });
  device.start();
  device.readSession({ peer: 'bob' }, () => {}).read(100);
  await new Promise((resolve) => process.stdin.on('end', resolve).resume());
}
