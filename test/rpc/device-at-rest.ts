import { readdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { Device } from '../../clients/device/index.ts';

/** Opens a device of ana's that reaches no service. */
export function openAlone(database: string): Promise<Device> {
  return Device.open({ database, user: 'ana', history: '127.0.0.1:1', backup: '127.0.0.1:1' });
}

/**
 * Changes whenever something is written to the database at a path or its WAL, one of them is replaced, or
 * anything comes to stand beside them.
 */
export function stampOf(path: string): string {
  const parts = ['', '-wal'].map((part) => {
    const { ino, size, mtimeNs, ctimeNs } = statSync(`${path}${part}`, { bigint: true });
    return [ino, size, mtimeNs, ctimeNs].join(' ');
  });
  return [...parts, ...readdirSync(dirname(path)).sort()].join('\n');
}
