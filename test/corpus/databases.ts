import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { BackupClient } from '../../clients/backup/backup-client.ts';
import { checkDamaged, checkRoundTrip, checkSealed, digestOf } from '../support/backup-check.ts';
import { readTarGz } from '../support/corpus.ts';
import type { TestService } from '../support/processes.ts';
import type { Report } from './report.ts';

/** Most memory that a service may ever have resident for one transfer, however large. */
const memoryLimitBytes = 256 * 1024 * 1024;

/**
 * Sends all SQLite files of the corpus, good and bad, and one large database through the backup service
 * and back. `label` names the store; `start` starts a service process on it.
 */
export async function checkDatabases(
  report: Report,
  label: string,
  start: () => Promise<TestService>,
  corpus: string,
  large: string,
): Promise<void> {
  await checkFiles(report, label, start, corpus);
  const number = await checkLargeUpload(report, label, start, large);
  await checkLargeDownload(report, label, start, large, number);
}

async function checkFiles(
  report: Report,
  label: string,
  start: () => Promise<TestService>,
  corpus: string,
): Promise<void> {
  await using service = await start();
  using client = new BackupClient(service.address);
  const good = databasesOf(join(corpus, 'sqlite', 'good.tar.gz'));
  const bad = databasesOf(join(corpus, 'sqlite', 'bad.tar.gz'));
  const sound = passingIn(join(corpus, 'sqlite', 'bad.tar.gz'));
  const nameOf = ([name]: [string, Buffer]) => name;
  await report.each(
    `${label}: ${good.length} good SQLite files, there and back`,
    good,
    ([name, bytes]) => checkRoundTrip(client, 'good', name, bytes),
    nameOf,
  );
  const outcomes = { refused: 0, failed: 0, passed: 0 };
  await report.each(
    `${label}: ${bad.length} bad SQLite files`,
    bad,
    async ([name, bytes]) => {
      const outcome = await checkDamaged(client, 'bad', name, bytes);
      if (outcome === 'passed' && !sound.has(name)) throw new Error('it has passed');
      outcomes[outcome]++;
    },
    nameOf,
  );
  await report.each(
    `${label}: ${good.length + bad.length} good and bad SQLite files, sealed and opened`,
    [...good, ...bad],
    ([name, bytes]) => checkSealed(client, 'sealed', name, bytes),
    nameOf,
  );
  await report.check(`${label}: the service has outlived them`, async () => {
    await client.age({ user: 'good' });
    if (service.process.child.exitCode !== null) throw new Error('it has ended');
  });
  await checkMemory(report, `${label}: memory of all that`, service);
  const { refused, failed, passed } = outcomes;
  console.log(
    `  ${label}: of the bad ones ${refused} refused, ${failed} failed, ${passed} sound for quick_check`,
  );
}

/** Names of the bad files that quick_check takes for sound, as the corpus tells. */
function passingIn(archive: string): Set<string> {
  const manifest = readTarGz(archive).get('manifest.tsv')!.toString();
  const rows = manifest.split('\n').map((line) => line.split('\t'));
  const checks = ['accepted', 'integrity_check'];
  return new Set(
    rows.filter(([, check = '']) => checks.includes(check)).map(([name = '']) => name),
  );
}

async function checkLargeUpload(
  report: Report,
  label: string,
  start: () => Promise<TestService>,
  large: string,
): Promise<bigint> {
  await using service = await start();
  using client = new BackupClient(service.address);
  let number = 0n;
  await report.check(`${label}: upload of a large database`, async (progress) => {
    const { backup } = await client.upload(large, {
      user: 'large',
      onProgress: ({ sentBytes, sizeBytes }) => progress.update(percent(sentBytes, sizeBytes)),
    });
    number = backup.number;
  });
  await checkMemory(report, `${label}: memory of the upload`, service);
  return number;
}

async function checkLargeDownload(
  report: Report,
  label: string,
  start: () => Promise<TestService>,
  large: string,
  number: bigint,
): Promise<void> {
  await using service = await start();
  using client = new BackupClient(service.address);
  await report.check(`${label}: download of a large database`, async () => {
    const due = await digestOf(createReadStream(large));
    await using download = await client.download({ user: 'large', number });
    if ((await digestOf(download)) !== due) throw new Error('it came back otherwise');
  });
  await checkMemory(report, `${label}: memory of the download`, service);
}

async function checkMemory(report: Report, name: string, service: TestService): Promise<void> {
  const bytes = service.process.peakMemoryBytes();
  const mebibytes = `${Math.round(bytes / 2 ** 20)} MiB resident at most`;
  await report.check(`${name}: ${mebibytes}`, async () => {
    if (!(bytes < memoryLimitBytes)) throw new Error(`${mebibytes}, more than allowed`);
  });
}

function databasesOf(archive: string): [string, Buffer][] {
  return [...readTarGz(archive)].filter(([name]) => name.endsWith('.db'));
}

function percent(part: number, whole: number): string {
  return `${Math.floor((100 * part) / whole)} %`;
}
