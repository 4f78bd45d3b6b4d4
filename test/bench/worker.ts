import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** What a process can be told to do; arguments and results are copied between the processes. */
export type Jobs = Record<string, (...args: never[]) => Promise<unknown>>;

interface Order {
  readonly job: string;
  readonly args: never[];
}

type Answer = { readonly value: unknown } | { readonly error: string };

/** In the process itself: does what it is told, one job at a time, until the other side is gone. */
export function serveJobs(jobs: Jobs): void {
  process.on('message', async ({ job, args }: Order) => {
    const answer = await Promise.resolve(jobs[job]?.(...args)).then(
      (value): Answer => ({ value }),
      (error: unknown): Answer => ({
        error: error instanceof Error ? `${error.stack}` : `${error}`,
      }),
    );
    process.send?.(answer);
  });
  process.once('disconnect', () => process.exit());
}

/** A process of its own that does the jobs which `file` serves. Ends when it is disposed of. */
export class Worker<J extends Jobs> implements AsyncDisposable {
  readonly #child: ChildProcess;

  constructor(file: URL) {
    this.#child = fork(file, { serialization: 'advanced' });
  }

  /** Does one job; the one before it must have ended. */
  async run<K extends keyof J & string>(
    job: K,
    ...args: Parameters<J[K]>
  ): Promise<Awaited<ReturnType<J[K]>>> {
    this.#child.send({ job, args });
    const gone = new AbortController();
    const exit = once(this.#child, 'exit', gone).then(([code]) => {
      throw new Error(`The process for ${job} ended with ${code}`);
    });
    const message = once(this.#child, 'message', gone);
    const [answer] = (await Promise.race([message, exit]).finally(() => {
      gone.abort();
      exit.catch(() => {});
      message.catch(() => {});
    })) as [Answer];
    if ('error' in answer) throw new Error(answer.error);
    return answer.value as Awaited<ReturnType<J[K]>>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.disconnect();
    await exit;
  }
}
