import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { run } from '../support/command.ts';
import { endGuard, freePort, startGuard } from '../support/server.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The variables by which docker-compose.yml is told the ports that it publishes. */
const portNames = [
  'HISTORY_PORT',
  'HISTORY_METRICS_PORT',
  'BACKUP_PORT',
  'BACKUP_METRICS_PORT',
] as const;

type PortName = (typeof portNames)[number];

/** What the suite looks at in `docker inspect`. */
export interface Inspected {
  readonly State: { readonly Status: string; readonly ExitCode: number };
  readonly RestartCount: number;
  readonly Config: { readonly User: string; readonly Labels: Readonly<Record<string, string>> };
  readonly HostConfig: {
    readonly ReadonlyRootfs: boolean;
    readonly CapAdd: readonly string[] | null;
    readonly CapDrop: readonly string[] | null;
    readonly SecurityOpt: readonly string[] | null;
    readonly Memory: number;
    readonly PidsLimit: number | null;
    readonly LogConfig: { readonly Config: Readonly<Record<string, string>> };
    readonly PortBindings: Readonly<Record<string, readonly { readonly HostIp: string }[]>> | null;
  };
}

/**
 * What docker-compose.yml describes, under a project name and on ports of its own: containers,
 * volumes, networks and image are nobody else's. Disposing it removes them all, and so does a guard
 * when this process is killed.
 */
export class Deployment implements AsyncDisposable {
  readonly project = `backscroll-test-${randomBytes(4).toString('hex')}`;
  readonly #ports: ReadonlyMap<PortName, string>;
  readonly #guard;

  private constructor(ports: ReadonlyMap<PortName, string>) {
    this.#ports = ports;
    const down = this.#command('down', '--volumes', '--timeout', '1', '--rmi', 'local');
    this.#guard = startGuard({ end: ['docker', ...down] });
  }

  /** Names it and finds ports for it; nothing is started. */
  static async prepare(): Promise<Deployment> {
    const ports = new Map<PortName, string>();
    for (const name of portNames) ports.set(name, String(await freePort()));
    return new Deployment(ports);
  }

  /** Where a published port is reached from here. */
  address(port: PortName): string {
    return `127.0.0.1:${this.#ports.get(port)}`;
  }

  /** Runs `docker compose ARGS` on it; resolves to what it printed. */
  compose(args: readonly string[], onLine: (line: string) => void = () => {}): Promise<string> {
    // An address that someone publishes on here is not for a test.
    const env = { ...process.env, PUBLISH_ADDRESS: '', ...Object.fromEntries(this.#ports) };
    return run('docker', this.#command(...args), { env, onLine });
  }

  /** Builds the image the first time, starts what does not run, and waits until all is healthy. */
  async up(onLine?: (line: string) => void): Promise<void> {
    await this.compose(['up', '--wait', '--wait-timeout', '300'], onLine);
  }

  /** Starts one that was killed. Those that need it may have become unhealthy, and are not waited for. */
  async startAgain(service: string, onLine?: (line: string) => void): Promise<void> {
    await this.compose(['up', '--wait', '--wait-timeout', '300', service], onLine);
  }

  /** SIGKILL, as when the power fails; no restart policy brings it back. */
  async kill(service: string): Promise<void> {
    await this.compose(['kill', '--signal', 'SIGKILL', service]);
  }

  /** All containers by their service, also those that ended. */
  async inspect(): Promise<Map<string, Inspected>> {
    const ids = (await this.compose(['ps', '--all', '--quiet'])).split('\n');
    const all = JSON.parse(await run('docker', ['inspect', ...ids])) as Inspected[];
    return new Map(all.map((one) => [one.Config.Labels['com.docker.compose.service'] ?? '', one]));
  }

  /** Ids of its containers, volumes, networks and image that are there. */
  async remains(): Promise<string[]> {
    const mine = ['--quiet', '--filter', `label=com.docker.compose.project=${this.project}`];
    const listed = await Promise.all([
      run('docker', ['ps', '--all', ...mine]),
      run('docker', ['volume', 'ls', ...mine]),
      run('docker', ['network', 'ls', ...mine]),
      run('docker', ['images', '--quiet', this.project]),
    ]);
    return listed.filter((ids) => ids !== '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endGuard(this.#guard);
  }

  #command(...args: string[]): string[] {
    return ['compose', '--project-directory', root, '--project-name', this.project, ...args];
  }
}
