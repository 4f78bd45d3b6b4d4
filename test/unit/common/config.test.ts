import { writeFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import {
  ConfigError,
  formatAddress,
  listenSetting,
  readConfig,
} from '../../../services/common/config.ts';

const SETTINGS = {
  X_LISTEN: listenSetting('127.0.0.1:50051'),
  X_METRICS_LISTEN: listenSetting('[::1]:9464'),
  X_URL: z.string('is required'),
  X_SECRET: z.string().optional(),
};

function faultsOf(env: NodeJS.ProcessEnv): readonly string[] {
  try {
    readConfig(SETTINGS, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

describe('readConfig', () => {
  test('fills in defaults, and takes empty values for absent ones', () => {
    expect(readConfig(SETTINGS, { X_URL: 'u', X_LISTEN: '', LOG_LEVEL: 'debug' })).toEqual({
      X_LISTEN: { host: '127.0.0.1', port: 50051 },
      X_METRICS_LISTEN: { host: '::1', port: 9464 },
      X_URL: 'u',
      LOG_LEVEL: 'debug',
      ALLOW_INSECURE: false,
    });
  });

  test('tells all faults at once, each with its variable', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'config-'));
    const missing = join(folder.path, 'missing');
    const env = {
      X_LISTEN: '127.0.0.1:65536',
      X_METRICS_LISTEN: '0.0.0.0:9464',
      X_SECRET: 's',
      X_SECRET_FILE: missing,
      X_URL_FILE: missing,
      LOG_LEVEL: 'loud',
      ALLOW_INSECURE: 'yes',
    };
    const faults = faultsOf(env);
    expect(faults.map((fault) => fault.split(':')[0]).sort()).toEqual([
      'ALLOW_INSECURE',
      'LOG_LEVEL',
      'X_LISTEN',
      'X_METRICS_LISTEN',
      'X_SECRET',
      'X_URL_FILE',
    ]);
    expect(faults.join('\n')).toContain(`can't read ${missing} (ENOENT)`);
    expect(faultsOf({})).toEqual(['X_URL: is required']);
  });

  test('reads secrets from files, without the line end behind them', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'config-'));
    const path = join(folder.path, 'secret');
    writeFileSync(path, ' p w\n');
    expect(readConfig(SETTINGS, { X_URL: 'u', X_SECRET_FILE: path }).X_SECRET).toBe(' p w');
  });

  test.each(['0.0.0.0:1', '[::]:1', '10.0.0.1:1', 'example.org:1', '128.0.0.1:1'])(
    'listens on %s only when that is waived',
    (address) => {
      expect(faultsOf({ X_URL: 'u', X_LISTEN: address })).toEqual([
        expect.stringContaining('ALLOW_INSECURE=1'),
      ]);
      const config = readConfig(SETTINGS, { X_URL: 'u', X_LISTEN: address, ALLOW_INSECURE: '1' });
      expect(formatAddress(config.X_LISTEN)).toBe(address);
    },
  );

  test.each(['127.0.0.1:0', '127.9.9.9:1', '[::1]:1', 'localhost:1'])(
    'listens on %s as it is',
    (address) => expect(faultsOf({ X_URL: 'u', X_LISTEN: address })).toEqual([]),
  );

  test.each(['', ' ', '127.0.0.1', ':1', '::1:1', 'a:b', '[::1]', 'h:1 ', 'h:-1', 'h:123456'])(
    'refuses %j as an address',
    (address) =>
      expect(faultsOf({ X_URL: 'u', X_LISTEN: address })).toHaveLength(address === '' ? 0 : 1),
  );
});
