import { createHash, type Hash, hash } from 'node:crypto';
import { DIGEST_BYTES, EXTENT_BYTES } from './units.ts';

/** Digest of some bytes: the first 16 bytes of their SHA-256. */
export function digest(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer').subarray(0, DIGEST_BYTES);
}

/** Digests an extent's pages, of which the first has that number in the file. */
export type DigestPages = (extent: Uint8Array, pageSizeBytes: number, firstPage: number) => Buffer;

/**
 * Digests of an extent's pages, in order and joined, 16 bytes each. The last page may be shorter.
 */
export function pageDigests(extent: Uint8Array, pageSizeBytes: number): Buffer {
  const digests = Buffer.allocUnsafe(Math.ceil(extent.length / pageSizeBytes) * DIGEST_BYTES);
  let written = 0;
  for (let at = 0; at < extent.length; at += pageSizeBytes) {
    // By way of a string: half the time of a buffer for each page, and this is most of what it costs
    // to compare or check a file.
    const page = hash('sha256', extent.subarray(at, at + pageSizeBytes), 'latin1');
    digests.write(page, written, DIGEST_BYTES, 'latin1');
    written += DIGEST_BYTES;
  }
  return digests;
}

/** Digest of an extent, from its pages' joined digests. */
export function extentDigest(pages: Uint8Array): Buffer {
  return digest(pages);
}

/** The root digest of a file: over its size and its extents' digests, which are added in order. */
export class RootDigest {
  readonly #hash: Hash;

  /** Begins the digest of a file of `sizeBytes`. */
  constructor(sizeBytes: number) {
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(sizeBytes));
    this.#hash = createHash('sha256').update(size);
  }

  /** Adds the next extents' joined digests. */
  add(extents: Uint8Array): void {
    this.#hash.update(extents);
  }

  /** The digest, 16 bytes; nothing may be added after it. */
  finish(): Buffer {
    return this.#hash.digest().subarray(0, DIGEST_BYTES);
  }
}

/**
 * Cuts a file's bytes, which come in pieces of any length, into extents.
 *
 * An extent that lies within one piece is a view of it; one that spans pieces is copied together
 * into a buffer that the next such extent overwrites. So an extent is good until the next is taken.
 */
export class ExtentCutter {
  readonly #spanning = Buffer.allocUnsafe(EXTENT_BYTES);
  #filled = 0;

  /** Takes the next piece, and yields the extents that it completes. */
  *cut(piece: Uint8Array): Generator<Uint8Array> {
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(EXTENT_BYTES - this.#filled, piece.length);
      this.#spanning.set(piece.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < EXTENT_BYTES) return;
      this.#filled = 0;
      yield this.#spanning;
    }
    for (; at + EXTENT_BYTES <= piece.length; at += EXTENT_BYTES) {
      yield piece.subarray(at, at + EXTENT_BYTES);
    }
    this.#spanning.set(piece.subarray(at));
    this.#filled = piece.length - at;
  }

  /** The file's last extent, where it is shorter than the others; undefined where it is not. */
  rest(): Uint8Array | undefined {
    const rest = this.#spanning.subarray(0, this.#filled);
    this.#filled = 0;
    return rest.length > 0 ? rest : undefined;
  }
}
