import { hkdfSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameCodec, FrameError } from '../../../clients/format/frames.ts';
import { readKey } from '../../../clients/sealing/backup-key.ts';
import { firstScrypt, MasterKey } from '../../../clients/sealing/master-key.ts';

const database = { user: 'alice', database: 'backup.db' };
const secret = Buffer.from(Array.from({ length: 32 }, (_, at) => at));
const sealer = MasterKey.ofBytes(secret).sealer(database);
const scrypt = { salt: Buffer.alloc(16), log2N: 14, r: 8, p: 1 };

describe('a sealer', () => {
  it('opens what it has sealed', () => {
    const pages = fc.array(fc.nat(2 ** 32 - 1), { minLength: 1, maxLength: 64 });
    const codec = fc.constantFrom(FrameCodec.raw, FrameCodec.zstd);
    const property = fc.property(pages, codec, fc.uint8Array(), (pages, codec, data) => {
      const sealed = sealer.sealFrame(pages, { codec, data });
      expect(sealed.length).toBe(12 + 2 + 4 * pages.length + data.length + 16);
      const opened = sealer.openFrame(sealed);
      expect(opened).toEqual({ pages, packed: { codec, data: Buffer.from(data) } });
    });
    fc.assert(property);
  });

  it('tells of every bit that flips, and of every missing byte', () => {
    const sealed = sealer.sealFrame([3, 4], { codec: FrameCodec.raw, data: Buffer.alloc(5) });
    for (let bit = 0; bit < 8 * sealed.length; bit++) {
      const flipped = Buffer.from(sealed);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => sealer.openFrame(flipped)).toThrow(FrameError);
    }
    for (let length = 0; length < sealed.length; length++) {
      expect(() => sealer.openFrame(sealed.subarray(0, length))).toThrow(FrameError);
    }
  });

  it('never seals twice alike, and opens nothing of another key or database', () => {
    const packed = { codec: FrameCodec.raw, data: Buffer.alloc(100) };
    const sealed = sealer.sealFrame([1], packed);
    expect(sealer.sealFrame([1], packed)).not.toEqual(sealed);
    const other = Buffer.from(secret).fill(9, 31);
    for (const [bytes, name] of [
      [other, database],
      [secret, { ...database, user: 'bob' }],
      [secret, { ...database, database: 'other.db' }],
      [secret, { user: 'alic', database: 'ebackup.db' }],
    ] as const) {
      const another = MasterKey.ofBytes(bytes).sealer(name);
      expect(() => another.openFrame(sealed)).toThrow(FrameError);
      expect(another.pageDigests(packed.data, 4096, 0)).not.toEqual(
        sealer.pageDigests(packed.data, 4096, 0),
      );
      const file = { root: Buffer.alloc(16), sizeBytes: 100, pageSizeBytes: 4096 };
      expect(another.sealFile(file)).not.toEqual(sealer.sealFile(file));
    }
  });

  it('digests equal pages alike at one place alone', () => {
    const extent = Buffer.alloc(3 * 4096 + 1);
    const digests = sealer.pageDigests(extent, 4096, 16);
    expect(digests).toHaveLength(64);
    const each = [0, 1, 2, 3].map((at) => digests.toString('hex', at * 16, (at + 1) * 16));
    expect(new Set(each).size).toBe(4);
    expect(sealer.pageDigests(extent.subarray(4096), 4096, 17)).toEqual(digests.subarray(16));
  });

  it('proves a file’s root, size and page size together', () => {
    const file = { root: Buffer.alloc(16), sizeBytes: 8192, pageSizeBytes: 4096 };
    const others = [
      { ...file, root: Buffer.alloc(16, 1) },
      { ...file, sizeBytes: 8193 },
      { ...file, pageSizeBytes: 8192 },
    ];
    const proofs = [file, ...others].map((one) => sealer.sealFile(one).toString('hex'));
    expect(new Set(proofs).size).toBe(4);
  });

  it('keeps to the format', () => {
    // By another way: what is stored today must be opened by every later version.
    const derived = hkdfSync('sha256', secret, '', 'backscroll sealing 1\0key id', 16);
    const { id } = MasterKey.ofBytes(secret);
    expect(id).toEqual(Buffer.from(derived));
    expect({
      id: id.toString('hex'),
      digest: sealer.pageDigests(Buffer.alloc(4096), 4096, 5).toString('hex'),
      proof: sealer.sealFile({ root: id, sizeBytes: 4096, pageSizeBytes: 4096 }).toString('hex'),
      opened: sealer.openFrame(Buffer.from(SEALED, 'hex')),
    }).toEqual({
      id: 'e315260a5fc44207a4ac86d0adec4a6f',
      digest: 'eb3cb459954aedaf6c6f5db5bff17dfc',
      proof: '25640a1a2fe64fc9af4ac9c35f898db7fe3cef1c95ba09215cd5f0310fd82b0d',
      opened: { pages: [5], packed: { codec: FrameCodec.raw, data: Buffer.from('a page') } },
    });
  });
});

/** One frame, as the first version sealed it. */
const SEALED = 'bc070a608740051e74b18a5286d3b16a17cd9fc7bd74d087b89dcb4b373aba0be36a07426369ee27';

describe('a key', () => {
  it('is read as bytes, hex or base64', () => {
    const texts = [secret.toString('hex'), secret.toString('hex').toUpperCase()];
    texts.push(secret.toString('base64'), secret.toString('base64url'));
    for (const text of texts) {
      for (const contents of [text, ` ${text}\r\n`, Buffer.from(`${text}\n`)]) {
        expect(Buffer.from(readKey(contents))).toEqual(secret);
      }
    }
    expect(readKey(secret)).toEqual(secret);
    for (const wrong of ['', 'a'.repeat(63), 'a'.repeat(42), 'g'.repeat(64), Buffer.alloc(31)]) {
      expect(() => readKey(wrong)).toThrow(expect.objectContaining({ reason: 'INVALID_KEY' }));
    }
  });

  it('comes from a passphrase and its parameters', async () => {
    const key = await MasterKey.ofPassphrase('p', scrypt);
    expect(key.description).toEqual({ id: key.id, scrypt });
    expect((await MasterKey.ofPassphrase('p', scrypt)).id).toEqual(key.id);
    for (const other of [
      { ...scrypt, salt: Buffer.alloc(16, 1) },
      { ...scrypt, log2N: 15 },
      { ...scrypt, p: 2 },
    ]) {
      expect((await MasterKey.ofPassphrase('p', other)).id).not.toEqual(key.id);
    }
  });

  it('is refused where a service wants more memory than there should be, or what can not be', async () => {
    for (const cost of [
      { log2N: 20, r: 32 },
      { log2N: 60 },
      { log2N: Number.NaN },
      { r: 0 },
      { p: 0 },
    ]) {
      await expect(MasterKey.ofPassphrase('p', { ...scrypt, ...cost })).rejects.toThrow(RangeError);
    }
    await expect(MasterKey.ofPassphrase('', scrypt)).rejects.toThrow(RangeError);
  });

  it('has a salt of its own for each upload, the same in each of its tries', () => {
    const salts = [
      firstScrypt(database, 'one'),
      firstScrypt(database, 'two'),
      firstScrypt({ ...database, user: 'bob' }, 'one'),
    ].map(({ salt }) => salt.toString('hex'));
    expect(new Set(salts).size).toBe(3);
    expect(firstScrypt(database, 'one').salt.toString('hex')).toBe(salts[0]);
    expect(salts[0]).toHaveLength(32);
  });
});
