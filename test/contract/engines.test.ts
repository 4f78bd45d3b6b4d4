import { buffer } from 'node:stream/consumers';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { expect, inject, it } from 'vitest';
import { freshBucket, freshDatabase } from '../support/databases.ts';
import { startMinio, startMysql } from '../support/engines.ts';
import { minioClient } from '../support/minio.ts';

/** What the suites' own footing promises: without it, a green run says nothing. */

it('gives every test a database and a bucket of its own, on real servers', async () => {
  await using database = await freshDatabase(inject('mysqlUrl'));
  await using other = await freshDatabase(inject('mysqlUrl'));
  expect(database.url).not.toBe(other.url);
  const connection = await createConnection(database.url);
  const [[durable]] = await connection.query<RowDataPacket[]>({
    sql: 'SELECT @@innodb_flush_log_at_trx_commit, @@sync_binlog',
    rowsAsArray: true,
  });
  expect(durable).toEqual([1, 1]);
  await connection.end();

  await using bucket = await freshBucket(inject('minioUrl'));
  const client = minioClient(inject('minioUrl'));
  const name = new URL(bucket.url.replace('s3+', '')).pathname.slice(1);
  await client.putObject(name, 'a/b', Buffer.from('kept'), 4);
  expect(await buffer(await client.getObject(name, 'a/b'))).toEqual(Buffer.from('kept'));
});

it('starts a killed MySQL again on the same port and data', async () => {
  await using mysql = await startMysql();
  await using database = await freshDatabase(mysql.url);
  const before = await createConnection(database.url);
  before.on('error', () => {});
  await before.query('CREATE TABLE kept (id INT PRIMARY KEY)');
  await before.query('INSERT INTO kept VALUES (7)');
  await mysql.kill();
  await expect(createConnection(database.url)).rejects.toThrow();
  await mysql.start();
  const after = await createConnection(database.url);
  expect(await after.query('SELECT id FROM kept')).toMatchObject([[{ id: 7 }], {}]);
  await after.end();
});

it('starts a killed MinIO again on the same port and data', async () => {
  await using minio = await startMinio();
  const client = minioClient(minio.url);
  await client.makeBucket('kept');
  await client.putObject('kept', 'object', Buffer.from('kept'), 4);
  await minio.kill();
  await expect(client.getObject('kept', 'object')).rejects.toThrow();
  await minio.start();
  expect(await buffer(await client.getObject('kept', 'object'))).toEqual(Buffer.from('kept'));
});
