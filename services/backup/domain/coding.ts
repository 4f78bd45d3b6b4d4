import { digest } from '../../../clients/format/digests.ts';
import { DIGEST_BYTES } from '../../../clients/format/units.ts';

/** Stored bytes that are not what was written. */
export class DamageError extends Error {
  override name = 'DamageError';
}

/** Writes numbers as varints (7 bits a byte, lowest first) and bytes, into memory that grows. */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(1024);
  #length = 0;

  /** How many bytes were written. */
  get length(): number {
    return this.#length;
  }

  /** Writes a whole number from 0 to 2^53 - 1. */
  number(value: number): this {
    this.#room(8);
    let rest = value;
    while (rest > 127) {
      this.#bytes[this.#length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
    return this;
  }

  /** Writes a whole number that may be negative, from -2^52 to 2^52 - 1. */
  signed(value: number): this {
    return this.number(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** Writes bytes as they are. */
  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** Writes a text with its length. */
  text(text: string): this {
    const bytes = Buffer.from(text, 'utf8');
    return this.number(bytes.length).raw(bytes);
  }

  /** What was written: a view, good until the next write. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#length + bytes));
    grown.set(this.finish());
    this.#bytes = grown;
  }
}

/** Reads what ByteWriter wrote. Throws DamageError past the end. */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Whether all was read. */
  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Reads a whole number. */
  number(): number {
    let value = 0;
    for (let factor = 1; factor <= Number.MAX_SAFE_INTEGER; factor *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new DamageError('ends early');
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new DamageError('number too long');
  }

  /** Reads a whole number that may be negative. */
  signed(): number {
    const value = this.number();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }

  /** Reads bytes: a view. */
  raw(length: number): Buffer {
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    if (bytes.length !== length) throw new DamageError('ends early');
    this.#at += length;
    return bytes;
  }

  /** Reads a text with its length. */
  text(): string {
    return this.raw(this.number()).toString('utf8');
  }
}

/** Length of what `trailer` makes, in bytes. */
export const TRAILER_BYTES = 4 + DIGEST_BYTES + 8;

/**
 * The trailer behind an object's footer, with which the object ends: the footer's length (4 bytes,
 * big-endian), its digest, and 8 bytes that name the format and its version.
 */
export function trailer(footer: Uint8Array, magic: Buffer): Buffer {
  const bytes = Buffer.alloc(TRAILER_BYTES);
  bytes.writeUInt32BE(footer.length);
  bytes.set(digest(footer), 4);
  bytes.set(magic, 4 + DIGEST_BYTES);
  return bytes;
}

/** What a trailer says. Throws DamageError where it is none of this format and version. */
export function readTrailer(end: Buffer, magic: Buffer): { footerBytes: number; check: Buffer } {
  const bytes = end.subarray(-TRAILER_BYTES);
  if (bytes.length !== TRAILER_BYTES || !bytes.subarray(4 + DIGEST_BYTES).equals(magic)) {
    throw new DamageError('no trailer of this format');
  }
  return { footerBytes: bytes.readUInt32BE(), check: bytes.subarray(4, 4 + DIGEST_BYTES) };
}

/** Throws DamageError where the bytes do not have the digest. */
export function checkDigest(bytes: Uint8Array, expected: Uint8Array, what: string): void {
  if (!digest(bytes).equals(expected)) throw new DamageError(`${what} does not match its digest`);
}
