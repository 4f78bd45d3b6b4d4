import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { addAbortSignal, type Readable } from 'node:stream';
import { createGunzip, type Gunzip } from 'node:zlib';
import { usage } from './exit.ts';

/** One line of an input, without its end. */
export interface Line {
  /** What stands in it. */
  readonly text: string;
  /** Its number in the file, from 1. */
  readonly number: number;
  /** Its length in bytes. */
  readonly sizeBytes: number;
}

/** Longest line in bytes: more than a message of 256 KiB takes in JSON, however it is escaped. */
const LONGEST_LINE_BYTES = 4 * 1024 * 1024;

/** Bytes read at a time. */
const CHUNK_BYTES = 256 * 1024;

const NEWLINE = 0x0a;

/** U+FEFF in UTF-8, which some programs put before a text. */
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * The bytes of a file, unpacked where its name ends in `.gz`; of standard input for `-`. `onRead` is
 * told how many bytes of the file were read so far; `signal` ends the wait for more.
 */
export async function* readInput(
  path: string,
  { signal, onRead }: { signal: AbortSignal; onRead?: (bytes: number) => void },
): AsyncGenerator<Buffer, void, undefined> {
  if (path === '-') {
    yield* addAbortSignal(signal, process.stdin) as AsyncIterable<Buffer>;
    return;
  }
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  try {
    for await (const chunk of path.endsWith('.gz') ? unpacked(file) : file) {
      onRead?.(file.bytesRead);
      yield chunk as Buffer;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code?.startsWith('Z_')) throw usage(`${path}: not a complete gzip file`);
    throw code === 'EISDIR' ? usage(`${path} is a directory`) : error;
  } finally {
    file.destroy();
  }
}

function unpacked(file: Readable): Gunzip {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  file.on('error', (error) => gunzip.destroy(error));
  return file.pipe(gunzip);
}

/**
 * Cuts an input into lines, at line feeds alone: other separators of lines (U+2028) are text. A byte
 * order mark before the first line is left out. Yields the lines of one chunk together. The input's name stands in the message where a line is not UTF-8,
 * or longer than 4 MiB.
 */
export async function* linesOf(
  input: AsyncIterable<Buffer>,
  name: string,
): AsyncGenerator<Line[], void, undefined> {
  let begun: Buffer[] = [];
  let begunBytes = 0;
  let number = 0;
  const cut = (end: Buffer): Line => {
    let bytes = begun.length > 0 ? Buffer.concat([...begun, end]) : end;
    begun = [];
    begunBytes = 0;
    number += 1;
    if (number === 1 && startsWith(bytes, BYTE_ORDER_MARK)) {
      bytes = bytes.subarray(BYTE_ORDER_MARK.length);
    }
    if (!isUtf8(bytes)) throw usage(`${name}:${number}: not UTF-8`);
    return { text: bytes.toString(), number, sizeBytes: bytes.length };
  };
  for await (const chunk of input) {
    const lines: Line[] = [];
    let from = 0;
    for (let to = chunk.indexOf(NEWLINE); to >= 0; to = chunk.indexOf(NEWLINE, from)) {
      lines.push(cut(chunk.subarray(from, to)));
      from = to + 1;
    }
    if (from < chunk.length) {
      begun.push(chunk.subarray(from));
      begunBytes += chunk.length - from;
      if (begunBytes > LONGEST_LINE_BYTES) throw usage(`${name}:${number + 1}: longer than 4 MiB`);
    }
    if (lines.length > 0) yield lines;
  }
  if (begun.length > 0) yield [cut(Buffer.alloc(0))];
}

function startsWith(bytes: Buffer, head: Buffer): boolean {
  return bytes.subarray(0, head.length).equals(head);
}
