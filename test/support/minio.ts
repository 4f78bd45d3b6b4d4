import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'minio';
import { containerServer } from './docker.ts';
import { type GoProgram, goInstall, goWorks } from './go.ts';
import { type EngineKind, freePort, type Prepared, processServer } from './server.ts';

const image = process.env.MINIO_IMAGE || 'quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z';
const user = 'backscroll';
const password = 'backscroll-tests';
const env = {
  MINIO_ROOT_USER: user,
  MINIO_ROOT_PASSWORD: password,
  MINIO_BROWSER: 'off',
  // Lets folders be on the disk that the system is on.
  MINIO_CI_CD: '1',
};

/** MinIO: a container of the image that MINIO_IMAGE names, or a process of its newest source. */
export const minio = minioOn(['data']);

/** The same on four folders, over which it spreads each object, as MinIO does with the drives of a rack. */
export const minioOnFolders = minioOn(['data1', 'data2', 'data3', 'data4']);

function minioOn(folders: readonly string[]): EngineKind {
  return {
    name: 'MinIO',
    variable: 'MINIO_URL',
    image,
    async container() {
      const publishedPort = await freePort();
      const args = ['server', ...folders.map((folder) => `/${folder}`)];
      const server = containerServer({ image, port: 9000, publishedPort, env, args });
      return { server, url: urlAt(publishedPort) };
    },
    needs: 'Go',
    canBuild: goWorks,
    async build() {
      const { version } = await program();
      return `built from ${version}`;
    },
    process: () => fromProgram(folders),
    async answers(url) {
      await minioClient(url).listBuckets();
      return 'MinIO';
    },
  };
}

/** A client for a MinIO given as `s3+http://ACCESS:SECRET@host:port` (or `s3+https`). */
export function minioClient(url: string): Client {
  const { protocol, hostname, port, username, password } = new URL(url.replace(/^s3\+/, ''));
  return new Client({
    endPoint: hostname,
    port: Number(port) || (protocol === 'https:' ? 443 : 80),
    useSSL: protocol === 'https:',
    accessKey: decodeURIComponent(username),
    secretKey: decodeURIComponent(password),
    region: 'us-east-1',
    // What waits for a server asks again by itself; the client's own way prints to the log.
    retryOptions: { disableRetry: true },
  });
}

function program(): Promise<GoProgram> {
  return goInstall('minio', 'github.com/minio/minio', 'about four minutes on two cores, once');
}

async function fromProgram(folders: readonly string[]): Promise<Prepared> {
  const { path } = await program();
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'backscroll-minio-'));
  const data = folders.map((name) => join(folder, name));
  const args = ['server', '--quiet', '--address', `127.0.0.1:${port}`, ...data];
  return { server: processServer([path, ...args], folder, env), url: urlAt(port) };
}

function urlAt(port: number): string {
  return `s3+http://${user}:${password}@127.0.0.1:${port}`;
}
