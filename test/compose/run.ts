/**
 * `npm run test:compose`: brings docker-compose.yml up for real with whatever Docker is there, uses
 * both services from outside, kills the engines under them, and takes everything down again.
 */
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { health } from '../../compose/healthcheck.ts';
import { works } from '../support/command.ts';
import { Progress } from '../support/progress.ts';
import { Content } from './content.ts';
import { Deployment } from './deployment.ts';
import { checkHardening, checkSecrets, readSecrets } from './hardening.ts';

/** The gRPC code of calls that fail for now. */
const UNAVAILABLE = 14;

let passed = 0;

/** One thing that the deployment must do. The first that fails ends the suite: the next build on it. */
async function step(name: string, work: (progress: Progress) => Promise<unknown>): Promise<void> {
  const progress = new Progress(name);
  await work(progress);
  progress[Symbol.dispose]();
  passed++;
}

async function suite(deployment: Deployment): Promise<void> {
  const history = deployment.address('HISTORY_PORT');
  const backup = deployment.address('BACKUP_PORT');
  await using content = await Content.empty(history, backup);
  const up = (progress: Progress) => deployment.up((line) => progress.update(line.trim()));
  const startAgain = (service: string, progress: Progress) =>
    deployment.startAgain(service, (line) => progress.update(line.trim()));
  const historyIs = (status: string) =>
    untilHealth(history, 'backscroll.history.v1.HistoryService', status);
  const backupIs = (status: string) =>
    untilHealth(backup, 'backscroll.backup.v1.BackupService', status);

  await step('docker compose up --wait', up);
  const secrets = await readSecrets(deployment);
  await step('containers are locked up', () => checkHardening(deployment));
  await step('messages come back as they were appended', async () => {
    await content.append();
    await content.checkHistory();
  });
  await step('databases come back as they were uploaded', async () => {
    await content.upload();
    await content.upload();
    await content.checkBackup();
  });
  await step('metrics are served', async () => {
    await checkMetrics(deployment.address('HISTORY_METRICS_PORT'));
    await checkMetrics(deployment.address('BACKUP_METRICS_PORT'));
  });
  await step('two migrations at once', () => {
    const migrate = ['run', '--rm', 'migrate'];
    return Promise.all([deployment.compose(migrate), deployment.compose(migrate)]);
  });

  await step('MySQL is killed: history says so, backup goes on', async () => {
    await deployment.kill('mysql');
    await historyIs('NOT_SERVING');
    await rejects(content.append(), { code: UNAVAILABLE });
    await rejects(content.checkHistory(), { code: UNAVAILABLE });
    await backupIs('SERVING');
    await content.checkBackup();
  });
  await step('MySQL is back: nothing is lost', async (progress) => {
    await startAgain('mysql', progress);
    await historyIs('SERVING');
    await content.checkHistory();
    await content.append();
    await content.checkHistory();
  });
  await step('MinIO is killed: backup says so, history goes on', async () => {
    await deployment.kill('minio');
    await backupIs('NOT_SERVING');
    await rejects(content.upload(), { code: UNAVAILABLE });
    await rejects(content.checkBackup(), { code: UNAVAILABLE });
    await historyIs('SERVING');
    await content.checkHistory();
  });
  await step('MinIO is back: nothing is lost', async (progress) => {
    await startAgain('minio', progress);
    await backupIs('SERVING');
    await content.checkBackup();
    await content.upload();
    await content.checkBackup();
  });
  await step('services that crash are started again', async () => {
    for (const service of ['history', 'backup']) {
      // Everything but the container's init, and so perhaps the shell before it can say that it did.
      await deployment
        .compose(['exec', '-T', service, 'sh', '-c', 'kill -KILL -1'])
        .catch(() => {});
    }
    await historyIs('SERVING');
    await backupIs('SERVING');
    await content.checkHistory();
    await content.checkBackup();
    const containers = await deployment.inspect();
    equal(containers.get('history')?.RestartCount, 1);
    equal(containers.get('backup')?.RestartCount, 1);
  });

  await step('docker compose stop ends everything cleanly', async () => {
    await deployment.compose(['stop']);
    for (const [service, { State }] of await deployment.inspect()) {
      equal(State.ExitCode, 0, `${service} exited with ${State.ExitCode}`);
    }
  });
  await step('docker compose down and up keeps data and secrets', async (progress) => {
    await deployment.compose(['down']);
    await up(progress);
    deepEqual(await readSecrets(deployment), secrets);
    await content.checkHistory();
    await content.checkBackup();
  });
  await step('no secret shows in logs or settings', () => checkSecrets(deployment, secrets));
  await step('docker compose down -v --rmi local leaves nothing', async () => {
    await deployment.compose(['down', '--volumes', '--rmi', 'local']);
    deepEqual(await deployment.remains(), []);
  });
}

/** Waits until a service's health is as told, whatever it is until then. */
async function untilHealth(address: string, service: string, status: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const now = await health(address, service).catch((error: Error) => error.message);
    if (now === status) return;
    ok(Date.now() < deadline, `${service} is still ${now} after a minute`);
    await setTimeout(100);
  }
}

async function checkMetrics(address: string): Promise<void> {
  const response = await fetch(`http://${address}/metrics`);
  equal(response.status, 200);
  match(await response.text(), /^grpc_server_handled_total\{/m);
}

async function main(): Promise<void> {
  if (!(await works('docker', 'version')) || !(await works('docker', 'compose', 'version'))) {
    console.error('No Docker engine with Compose answers here: install or start one.');
    console.log('0 passed, 1 failed');
    process.exitCode = 1;
    return;
  }
  await using deployment = await Deployment.prepare();
  let failed = 0;
  try {
    await suite(deployment);
  } catch (error) {
    failed = 1;
    console.error(error);
    console.error(await deployment.compose(['ps', '--all']).catch(String));
    console.error(await deployment.compose(['logs', '--tail', '40']).catch(String));
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed;
}

await main();
