import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { FrameCodec, FrameError, type PackedFrame } from '../format/frames.ts';
import { DIGEST_BYTES } from '../format/units.ts';

/**
 * A sealed frame: nonce, then what AES-256-GCM makes of the text, then the tag. The text:
 *
 *     text  = codec (1), page count (1), page numbers (4 each), bytes packed by the codec
 *
 * All numbers are big-endian. The page numbers are sealed with the pages, so that a frame can't be
 * given out as other pages; that it is none of another database is in the key.
 */
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const TEXT_START_BYTES = 2;
const PAGE_NUMBER_BYTES = 4;

/** Names a database of a user. */
export interface SealedDatabase {
  readonly user: string;
  readonly database: string;
}

/** What the proof of a whole file is about. */
export interface SealedFile {
  readonly root: Uint8Array;
  readonly sizeBytes: number;
  readonly pageSizeBytes: number;
}

/** Seals one database's pages, and opens them. Its keys are that database's alone. */
export class Sealer {
  readonly #frameKey: Buffer;
  readonly #digestKey: Buffer;
  readonly #fileKey: Buffer;

  /** Derives the keys of a database. */
  constructor(master: KeyObject, { user, database }: SealedDatabase) {
    // No name holds a NUL, so that no two databases have the same words.
    const derive = (purpose: string) => deriveKey(master, `${purpose}\0${user}\0${database}`, 32);
    this.#frameKey = derive('frames');
    this.#digestKey = derive('page digests');
    this.#fileKey = derive('files');
  }

  /**
   * Digests of an extent's pages, in order and joined: the first 16 bytes of HMAC-SHA-256 over the
   * page's number (8 bytes, big-endian) and its bytes. So equal pages look equal at one place alone.
   */
  pageDigests(extent: Uint8Array, pageSizeBytes: number, firstPage: number): Buffer {
    const digests = Buffer.allocUnsafe(Math.ceil(extent.length / pageSizeBytes) * DIGEST_BYTES);
    const number = Buffer.alloc(8);
    for (let page = 0; page * pageSizeBytes < extent.length; page++) {
      number.writeBigUInt64BE(BigInt(firstPage + page));
      const at = page * pageSizeBytes;
      const hmac = createHmac('sha256', this.#digestKey).update(number);
      const digest = hmac.update(extent.subarray(at, at + pageSizeBytes)).digest('latin1');
      digests.write(digest, page * DIGEST_BYTES, DIGEST_BYTES, 'latin1');
    }
    return digests;
  }

  /** Seals the packed pages with these numbers. */
  sealFrame(pages: readonly number[], { codec, data }: PackedFrame): Buffer {
    const start = Buffer.alloc(TEXT_START_BYTES + pages.length * PAGE_NUMBER_BYTES);
    start.writeUInt8(codec, 0);
    start.writeUInt8(pages.length, 1);
    for (const [at, page] of pages.entries()) {
      start.writeUInt32BE(page, TEXT_START_BYTES + at * PAGE_NUMBER_BYTES);
    }
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#frameKey, nonce);
    const text = [cipher.update(start), cipher.update(data), cipher.final()];
    return Buffer.concat([nonce, ...text, cipher.getAuthTag()]);
  }

  /**
   * Opens a sealed frame: the numbers of its pages, and the pages as they were packed.
   *
   * Throws FrameError where it was not sealed by this key for this database.
   */
  openFrame(sealed: Uint8Array): { pages: number[]; packed: PackedFrame } {
    const text = this.#open(sealed);
    const dataAt = TEXT_START_BYTES + (text[1] ?? 0) * PAGE_NUMBER_BYTES;
    const pages: number[] = [];
    for (let at = TEXT_START_BYTES; at < dataAt; at += PAGE_NUMBER_BYTES) {
      pages.push(text.readUInt32BE(at));
    }
    const codec = text[0] === FrameCodec.zstd ? FrameCodec.zstd : FrameCodec.raw;
    return { pages, packed: { codec, data: text.subarray(dataAt) } };
  }

  /** Proves that the owner of the key uploaded this file: 32 bytes of HMAC-SHA-256. */
  sealFile({ root, sizeBytes, pageSizeBytes }: SealedFile): Buffer {
    const numbers = Buffer.alloc(16);
    numbers.writeBigUInt64BE(BigInt(sizeBytes), 0);
    numbers.writeBigUInt64BE(BigInt(pageSizeBytes), 8);
    return createHmac('sha256', this.#fileKey).update(numbers).update(root).digest();
  }

  #open(sealed: Uint8Array): Buffer {
    const textEnd = sealed.length - TAG_BYTES;
    if (textEnd < NONCE_BYTES) throw new FrameError('sealed frame is too short');
    const cipher = createDecipheriv(CIPHER, this.#frameKey, sealed.subarray(0, NONCE_BYTES));
    cipher.setAuthTag(sealed.subarray(textEnd));
    const text = cipher.update(sealed.subarray(NONCE_BYTES, textEnd));
    try {
      cipher.final();
    } catch (error) {
      throw new FrameError('sealed frame was not sealed by this key', { cause: error });
    }
    return text;
  }
}

/** Derives bytes for one purpose from the master key, by HKDF-SHA-256. */
export function deriveKey(master: KeyObject, purpose: string, lengthBytes: number): Buffer {
  const info = `backscroll sealing 1\0${purpose}`;
  return Buffer.from(hkdfSync('sha256', master, '', info, lengthBytes));
}
