import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { unavailable } from '../common/errors.ts';
import type { Failure } from './domain/verification/verdict.ts';
import type { CheckDatabase } from './domain/verification/verify.ts';
import { CHECK } from './limits.ts';

/** What a check may use; each is explained in `limits.ts`. */
export type CheckLimits = typeof CHECK;

const PROCESS = fileURLToPath(new URL('./quick-check-process.js', import.meta.url));

/** What the names of the temporary files begin with. */
const NAME = 'backscroll-check-';

/**
 * Sets the limits of the process that the shell then becomes: no core, bytes of memory, bytes of a file,
 * seconds of the processor. Past the memory an allocation fails; past the others the system ends it.
 */
const WITH_LIMITS =
  'ulimit -c 0 && ulimit -d "$1" && ulimit -f "$2" && ulimit -S -t "$3" && ulimit -H -t "$4" && ' +
  'shift 4 && exec "$@"';

/** Signals by which a process ends that passed a limit, or that a hostile file has broken. */
const OF_ITS_OWN: readonly (string | null)[] = [
  ...['SIGXCPU', 'SIGXFSZ', 'SIGABRT', 'SIGTRAP', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE'],
];

/**
 * Makes a check of databases by SQLite, in a process of its own that holds nothing of this one's: no
 * environment, no open file. It may use memory and time within `limits`, and a file as large as the database
 * in `folder`, which nobody else may read and which goes with the process, however that or this one
 * ends. Without a POSIX shell (on Windows) its time alone has a limit.
 */
export function quickCheckIn(folder: string, limits: CheckLimits = CHECK): CheckDatabase {
  return async (file, sizeBytes, signal) => {
    signal.throwIfAborted();
    await removeLeftovers(folder, limits.leftoverMs);
    const path = join(folder, `${NAME}${randomUUID()}.db`);
    const seconds = limits.seconds + Math.ceil(sizeBytes / limits.bytesPerSecond);
    const child = start(path, sizeBytes, limits.memoryBytes, seconds);
    const ended = endOf(child);
    const onAbort = () => child.kill('SIGKILL');
    signal.addEventListener('abort', onAbort);
    try {
      await pass(file, child.stdin, ended);
      const lateMs = seconds * limits.patience * 1_000;
      return await verdictOf(child, ended, lateMs, signal);
    } finally {
      signal.removeEventListener('abort', onAbort);
      child.kill('SIGKILL');
      await ended;
      await rm(path, { force: true });
    }
  };
}

interface CheckProcess extends ChildProcess {
  stdin: Writable;
}

/** How the process ended, and what it said. */
interface End {
  code: number | null;
  signal: string | null;
  output: string;
  complaint: string;
}

function start(
  path: string,
  sizeBytes: number,
  memoryBytes: number,
  seconds: number,
): CheckProcess {
  // To compile code it would set half a GiB of memory aside, which counts.
  const node = [process.execPath, '--jitless', '--max-old-space-size=32', '--no-warnings'];
  const command = [...node, PROCESS, path, String(sizeBytes)] as const;
  const options = { env: {} };
  if (process.platform === 'win32') return spawn(command[0]!, command.slice(1), options);
  const limits = [memoryBytes / 1024, Math.ceil(sizeBytes / 512), seconds, seconds + 5];
  return spawn('/bin/sh', ['-c', WITH_LIMITS, 'sh', ...limits.map(String), ...command], options);
}

/** Never rejects. */
async function endOf(child: ChildProcess): Promise<End> {
  const [output, complaint] = [text(child.stdout!), text(child.stderr!)];
  try {
    const [code, signal] = await once(child, 'close');
    return { code, signal, output: await output, complaint: await complaint };
  } catch (error) {
    // There is no shell, or the system has no room for a process.
    return { code: null, signal: null, output: '', complaint: String(error) };
  }
}

/** Passes a file's bytes on, until the process takes no more. */
async function pass(file: AsyncIterable<Buffer>, to: Writable, ended: Promise<End>): Promise<void> {
  let isOpen = true;
  const close = () => {
    isOpen = false;
  };
  to.on('error', close);
  void ended.then(close);
  for await (const bytes of file) {
    // The bytes are good until the next are asked for.
    const written = new Promise<void>((resolve) => to.write(bytes, () => resolve()));
    await Promise.race([written, ended]);
    if (!isOpen) return;
  }
  to.end();
}

async function verdictOf(
  child: ChildProcess,
  ended: Promise<End>,
  lateMs: number,
  signal: AbortSignal,
): Promise<Failure | undefined> {
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
  }, lateMs);
  const end = await ended;
  clearTimeout(timer);
  signal.throwIfAborted();
  if (end.code === 0 && end.output !== '') return JSON.parse(end.output).failure;
  if (isLate || end.signal === 'SIGXCPU') return limitExceeded('it took too much time');
  if (OF_ITS_OWN.includes(end.signal)) {
    return limitExceeded(`the process that checked it broke down (${end.signal})`);
  }
  const how = end.signal ?? `code ${end.code}`;
  const cause = new Error(`a check ended with ${how}: ${end.complaint.slice(0, 1_000)}`);
  throw unavailable('NOT_VERIFIED', 'the backup can not be verified now', { cause });
}

function limitExceeded(detail: string): Failure {
  return { reason: 'LIMIT_EXCEEDED', detail };
}

/**
 * Removes what processes left that were killed together with their services. A file in use is written
 * to all the time, until it goes.
 */
async function removeLeftovers(folder: string, leftoverMs: number): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(NAME)) continue;
    const path = join(folder, name);
    const unused = await stat(path).then(
      ({ mtimeMs }) => Date.now() - mtimeMs > leftoverMs,
      () => false,
    );
    if (unused) await rm(path, { force: true });
  }
}
