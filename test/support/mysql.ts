import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { aptWorks, unpackDebian } from './apt.ts';
import { cached } from './cache.ts';
import { run } from './command.ts';
import { containerServer } from './docker.ts';
import { Progress } from './progress.ts';
import { type EngineKind, freePort, type Prepared, processServer } from './server.ts';

const image = 'mysql:9.7';

/** What differs from the server's defaults, in both ways of running it. Durability is not in it. */
const settings = ['--performance-schema=OFF', '--max-connections=500'];

/** MySQL 9.7: a container of the official image, or a process of Debian's newest packages. */
export const mysql: EngineKind = {
  name: 'MySQL',
  variable: 'MYSQL_URL',
  image,
  container,
  needs: 'x86-64 Debian Linux with apt-get',
  canBuild: aptWorks,
  async build() {
    await packages();
    return "Debian sid's packages";
  },
  process: fromPackages,
  answers,
};

async function container(): Promise<Prepared> {
  const publishedPort = await freePort();
  const server = containerServer({
    image,
    port: 3306,
    publishedPort,
    env: { MYSQL_ALLOW_EMPTY_PASSWORD: 'yes', MYSQL_INITDB_SKIP_TZINFO: 'yes' },
    args: settings,
  });
  return { server, url: `mysql://root@127.0.0.1:${publishedPort}` };
}

/** Downloads MySQL and makes an empty database of its own, once; resolves to the folder of both. */
function packages(): Promise<string> {
  return cached('mysql', async (folder) => {
    const root = await unpackDebian('mysql-server-core', folder);
    using _progress = new Progress('making an empty MySQL');
    await run(...mysqld(root, join(folder, 'data'), ['--initialize-insecure']));
  });
}

/** A process on a copy of the empty database. */
async function fromPackages(): Promise<Prepared> {
  const unpacked = await packages();
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'backscroll-mysql-'));
  const data = join(folder, 'data');
  cpSync(join(unpacked, 'data'), data, { recursive: true });
  // Two servers on copies of one database are two servers.
  rmSync(join(data, 'auto.cnf'), { force: true });
  mkdirSync(join(folder, 'tmp'));
  const [command, args] = mysqld(join(unpacked, 'root'), data, [
    ...settings,
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    `--socket=${join(folder, 'mysqld.sock')}`,
    `--tmpdir=${join(folder, 'tmp')}`,
  ]);
  const server = processServer([command, ...args], folder);
  return { server, url: `mysql://root@127.0.0.1:${port}` };
}

async function answers(url: string): Promise<string> {
  const connection = await createConnection({ uri: url, connectTimeout: 5_000 });
  try {
    const [rows] = await connection.query({ sql: 'SELECT VERSION()', rowsAsArray: true });
    return `MySQL ${(rows as unknown[][])[0]?.[0]}`;
  } finally {
    connection.destroy();
  }
}

/** The unpacked server runs on its own libraries, whatever the machine's are. */
function mysqld(root: string, data: string, more: readonly string[]): [string, string[]] {
  const libraries = join(root, 'usr/lib/x86_64-linux-gnu');
  const args = [
    ...['--library-path', libraries, join(root, 'usr/sbin/mysqld'), '--no-defaults'],
    ...[`--datadir=${data}`, `--basedir=${join(root, 'usr')}`],
    `--lc-messages-dir=${join(root, 'usr/share/mysql')}`,
    ...['--secure-file-priv=NULL', '--loose-mysqlx=OFF'],
    ...(process.getuid?.() === 0 ? ['--user=root'] : []),
    ...more,
  ];
  return [join(libraries, 'ld-linux-x86-64.so.2'), args];
}
