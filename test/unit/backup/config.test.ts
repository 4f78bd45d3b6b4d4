import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readBackupConfig } from '../../../services/backup/config.ts';
import { ConfigError } from '../../../services/common/config.ts';

const folder = mkdtempSync(join(tmpdir(), 'backscroll-config-'));
afterAll(() => rmSync(folder, { recursive: true }));
const urlFile = join(folder, 'url');
writeFileSync(urlFile, 's3+http://minio:9000/backups\n');

const keys = { MINIO_ACCESS_KEY: 'key', MINIO_SECRET_KEY: 'secret' };
const storeOf = (url: string) =>
  readBackupConfig({ BACKUP_STORE_URL: url, ...keys }).BACKUP_STORE_URL;

describe('the configuration of the backup service', () => {
  it('names a folder unless told otherwise', () => {
    const config = readBackupConfig({});
    expect(config.BACKUP_STORE_URL).toEqual({ kind: 'folder', path: './data/backups' });
    expect(config.BACKUP_LISTEN).toEqual({ host: '127.0.0.1', port: 50_052 });
    expect(storeOf('file:/srv/backups')).toEqual({ kind: 'folder', path: '/srv/backups' });
    expect(storeOf('file:///srv/backups')).toEqual({ kind: 'folder', path: '/srv/backups' });
  });

  it('names a bucket', () => {
    const minio = { kind: 'minio', bucket: 'backscroll' };
    const at = (url: string) => storeOf(`${url}/backscroll`);
    expect(at('s3+http://minio:9000')).toEqual({
      ...minio,
      endPoint: 'minio',
      port: 9000,
      tls: false,
    });
    expect(at('s3+https://s3.test')).toEqual({
      ...minio,
      endPoint: 's3.test',
      port: 443,
      tls: true,
    });
    expect(at('s3+http://[::1]:90')).toEqual({ ...minio, endPoint: '::1', port: 90, tls: false });
  });

  it.each([
    'minio:9000',
    'file:',
    'file://host/path',
    's3+http://minio:9000',
    's3+http://minio:9000/',
    's3+http://minio:99999/backups',
    's3+http://minio:9000/a/b',
    's3+http://user:password@minio:9000/backups',
    'http://minio:9000/backups',
  ])('refuses %s', (url) => {
    expect(() => storeOf(url)).toThrow(/BACKUP_STORE_URL: must be file:PATH/);
  });

  it.each([
    'Backups',
    'ab',
    'a'.repeat(64),
    'a_b',
    '-ab',
    'ab-',
    'a..b',
    'a.-b',
    '10.0.0.1',
    'a?b',
  ])('refuses the bucket %s', (bucket) => {
    expect(() => storeOf(`s3+http://minio:9000/${bucket}`)).toThrow(
      /must name a bucket of 3 to 63/,
    );
  });

  it.each(['abc', 'a'.repeat(63), 'my.back-ups', '1--2'])('takes the bucket %s', (bucket) => {
    expect(storeOf(`s3+http://minio:9000/${bucket}`)).toMatchObject({ bucket });
  });

  it.each([
    ['named by a variable', { BACKUP_STORE_URL: 's3+http://minio:9000/backups' }],
    ['named by a file', { BACKUP_STORE_URL_FILE: urlFile }],
  ])('wants the secrets of a bucket %s, and tells all that is wrong', (_, url) => {
    try {
      readBackupConfig({ ...url, LOG_LEVEL: 'loud' });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      const names = (error as ConfigError).faults.map((fault) => fault.split(':')[0]);
      expect(names).toEqual(['MINIO_ACCESS_KEY', 'MINIO_SECRET_KEY', 'LOG_LEVEL']);
    }
  });
});
