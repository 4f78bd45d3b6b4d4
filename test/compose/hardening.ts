import { deepEqual, equal, match, ok } from 'node:assert/strict';
import type { Deployment, Inspected } from './deployment.ts';

/** The ports that each service publishes. */
const published: Readonly<Record<string, readonly string[]>> = {
  backup: ['50052/tcp', '9465/tcp'],
  history: ['50051/tcp', '9464/tcp'],
  migrate: [],
  minio: [],
  mysql: [],
  secrets: [],
};

/** Fails unless every container runs as locked up as docker-compose.yml promises. */
export async function checkHardening(deployment: Deployment): Promise<void> {
  const containers = await deployment.inspect();
  deepEqual([...containers.keys()].sort(), Object.keys(published));
  for (const [service, container] of containers) {
    checkSettings(service, container);
    if (container.State.Status === 'running') await checkProcess(deployment, service);
  }
}

function checkSettings(service: string, { Config, HostConfig }: Inspected): void {
  equal(HostConfig.ReadonlyRootfs, true, `${service}: read-only`);
  deepEqual(HostConfig.CapDrop, ['ALL'], `${service}: capabilities dropped`);
  deepEqual(HostConfig.CapAdd ?? [], [], `${service}: capabilities added`);
  ok(HostConfig.SecurityOpt?.includes('no-new-privileges:true'), `${service}: no-new-privileges`);
  ok(!['', 'root', '0'].includes(Config.User.split(':')[0] ?? ''), `${service}: a user`);
  ok(HostConfig.Memory > 0 && HostConfig.PidsLimit, `${service}: limits`);
  ok(HostConfig.LogConfig.Config['max-size'], `${service}: a bounded log`);
  const ports = Object.entries(HostConfig.PortBindings ?? {});
  deepEqual(ports.map(([port]) => port).sort(), published[service], `${service}: ports`);
  for (const [port, bindings] of ports) {
    const addresses = bindings.map((binding) => binding.HostIp);
    deepEqual(addresses, ['127.0.0.1'], `${service}: ${port} on loopback`);
  }
}

/** What the settings come to: the container's first process as the kernel sees it. */
async function checkProcess(deployment: Deployment, service: string): Promise<void> {
  const status = await deployment.compose(['exec', '-T', service, 'cat', '/proc/1/status']);
  for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']) {
    match(status, new RegExp(`^Cap${set}:\\s*0+$`, 'm'), `${service}: capabilities (${set})`);
  }
  match(status, /^NoNewPrivs:\s*1$/m, `${service}: no new privileges`);
  match(status, /^Uid:(\s+[1-9]\d*){4}$/m, `${service}: not root`);
}

/** The secrets of a deployment by their file names. */
export async function readSecrets(deployment: Deployment): Promise<Record<string, string>> {
  const show = 'cd /secrets && for file in */*; do echo "$file $(cat "$file")"; done';
  const lines = await deployment.compose(['run', '--rm', '-T', 'secrets', 'sh', '-c', show]);
  return Object.fromEntries(lines.split('\n').map((line) => line.split(' ')));
}

/** Fails if a secret is short, the same as another, or shows in the logs or the containers' settings. */
export async function checkSecrets(
  deployment: Deployment,
  { 'history/database-url': url, ...random }: Record<string, string>,
): Promise<void> {
  equal(url, `mysql://backscroll:${random['mysql/password']}@mysql:3306/backscroll`);
  equal(new Set(Object.values(random)).size, 4);
  const logs = await deployment.compose(['logs']);
  const settings = JSON.stringify([...(await deployment.inspect())]);
  for (const [name, value] of Object.entries(random)) {
    ok(value.length >= 32, `${name} is long`);
    ok(!logs.includes(value), `${name} is not in the logs`);
    ok(!settings.includes(value), `${name} is not in the settings`);
  }
}
