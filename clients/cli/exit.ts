import { status } from '@grpc/grpc-js';
import { CommanderError } from 'commander';
import { BackscrollError } from '../errors.ts';

/** Exit codes of the command. They are part of its interface: scripts rely on them. */
export const Exit = {
  ok: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  nothing: 4,
  notSound: 5,
  interrupted: 130,
} as const;

/** The exit codes as `--help` lists them. */
export const EXIT_CODES = `
Exit codes:
  0    done
  1    the service refused or failed; the reason is printed
  2    wrong usage or input; nothing to gain from trying again
  3    the service could not be reached, or not in time: try again
  4    there is no such thing; \`backup age\`: there is no backup;
       \`device schedule --once\`: the database is too young for its first
  5    the backup did not pass its verification
  130  interrupted (Ctrl-C)`;

/** Ends the command with a message for its user and an exit code. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Wrong usage or input. */
export function usage(message: string): CliError {
  return new CliError(Exit.usage, message);
}

/** Whoever read the output has gone, as \`head\` does: no reason to say anything. */
export class OutputClosed extends Error {}

/** A service as far as messages to the user need it. */
export interface Callee {
  readonly name: 'history' | 'backup';
  readonly address: string;
}

/** What to print (nothing where it is undefined) and the exit code for what a command threw. */
export function failureOf(
  error: unknown,
  callee: Callee | undefined,
): { message?: string; exitCode: number } {
  if (error instanceof OutputClosed) return { exitCode: Exit.ok };
  // Commander has printed what it had to say.
  if (error instanceof CommanderError) {
    return { exitCode: error.exitCode === 0 ? Exit.ok : Exit.usage };
  }
  if (error instanceof CliError) return { message: error.message, exitCode: error.exitCode };
  if (error instanceof BackscrollError) return refusal(error, callee);
  const fault = pathFaultOf(error);
  if (fault !== undefined) return { message: fault, exitCode: Exit.usage };
  return { message: error instanceof Error ? error.message : String(error), exitCode: Exit.failed };
}

/** Statuses that mean something else than that the service refused. */
const EXIT_OF: Readonly<Record<number, number>> = {
  [status.INVALID_ARGUMENT]: Exit.usage,
  [status.UNAVAILABLE]: Exit.unreachable,
  [status.DEADLINE_EXCEEDED]: Exit.unreachable,
  [status.NOT_FOUND]: Exit.nothing,
};

/** Whether the service could not be reached, or not in time. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof BackscrollError && EXIT_OF[error.code] === Exit.unreachable;
}

/** What the client library found wrong with a file on this side. */
const LOCAL_REASONS = [
  ...['WRONG_OWNER', 'NEWER_SCHEMA', 'NOT_A_DEVICE_DATABASE'],
  ...['FILE_EXISTS', 'NOT_A_FILE', 'NODE_TOO_OLD'],
  ...['DATABASE_IN_USE', 'SOURCE_CHANGED'],
  ...['INVALID_KEY', 'KEY_REQUIRED', 'WRONG_KEY', 'NOT_SEALED', 'NO_ZSTD'],
];

/** What the command can do about it. */
const HINTS: Readonly<Record<string, string>> = {
  FILE_EXISTS: ': replace it with --force',
  WRONG_OWNER: ': name its owner with --user, or another file with --database',
  KEY_REQUIRED: ': name it with --key-file, --passphrase-file or --passphrase',
  NODE_TOO_OLD: '. --raw uploads the file as it is, while no program has it open',
};

function refusal(error: BackscrollError, callee: Callee | undefined) {
  if (LOCAL_REASONS.includes(error.reason)) {
    return { message: error.message + (HINTS[error.reason] ?? ''), exitCode: Exit.usage };
  }
  return { message: whatToDo(error, callee), exitCode: EXIT_OF[error.code] ?? Exit.failed };
}

function whatToDo(error: BackscrollError, callee: Callee | undefined): string {
  const { message, reason } = error;
  const service = callee ? `the ${callee.name} service at ${callee.address}` : 'the service';
  switch (reason) {
    // The names of statuses: the service itself has said nothing.
    case 'UNAVAILABLE':
      return (
        `Can't reach ${service}: ${connectionFault(message)}\n` +
        `Is it running? Start it with \`npm start\`, or name another address with ${addressOption(callee)}.`
      );
    case 'DEADLINE_EXCEEDED':
      return `No answer in time from ${service}: try again, or allow more with --timeout.`;
    default: {
      const again = error.code === status.UNAVAILABLE ? '. Try again in a moment.' : '';
      return `${faultsOf(error)} (${reason})${again}`;
    }
  }
}

/** Where a service's address is given. */
function addressOption(callee: Callee | undefined): string {
  const name = callee?.name ?? 'history';
  return `--${name} or BACKSCROLL_${name.toUpperCase()}`;
}

/** What grpc-js says of a connection, without what only it understands. */
function connectionFault(message: string): string {
  const [refused] = /connect E\w+ \S+\d/.exec(message) ?? [];
  if (refused !== undefined) return refused;
  const [, tls] = /SSL routines:[^:]*:([^:]+)/.exec(message) ?? [];
  if (tls !== undefined) return `TLS failed: ${tls}`;
  const [, fault] = /Last error: (.*?)(?: \([^)]*\))?\.\s*Resolution note:/s.exec(message) ?? [];
  return fault ?? message;
}

function faultsOf({ fields, message }: BackscrollError): string {
  if (fields.length === 0) return message;
  return fields.map(({ field, description }) => `${field}: ${description}`).join('\n');
}

/** What the system's codes for paths that can't be used mean; a full disk is none of these. */
const WRONG_PATH: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'a part of it is no folder',
  EISDIR: 'it is a folder',
  ENAMETOOLONG: 'it is too long',
  ELOOP: 'its links lead nowhere',
  ENXIO: 'it is no file',
  EACCES: 'you have no right to use it',
  EPERM: 'you have no right to use it',
  EROFS: 'it can only be read',
};

/** What is wrong with a path, where that is what an error of the system says. */
function pathFaultOf(error: unknown): string | undefined {
  const { code, path, message } = error as NodeJS.ErrnoException;
  const fault = WRONG_PATH[code ?? ''];
  if (!(error instanceof Error) || fault === undefined) return undefined;
  return path === undefined ? message : `${path}: ${fault}`;
}
