import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader, ByteWriter, DamageError } from '../../../services/backup/domain/coding.ts';
import { decodeHead, encodeHead, type Head } from '../../../services/backup/domain/kept/head.ts';
import { keys, numberInKey, packId } from '../../../services/backup/domain/keys.ts';
import { decodeTables, encodeTables, Segment } from '../../../services/backup/domain/packs/map.ts';
import { PackBuilder, readPackIndex } from '../../../services/backup/domain/packs/pack.ts';
import { PACK_BYTES, PACK_PAGES } from '../../../services/backup/limits.ts';

describe('numbers', () => {
  it('come back', () => {
    const whole = fc.nat({ max: Number.MAX_SAFE_INTEGER });
    const signed = fc.integer({ min: -(2 ** 51), max: 2 ** 51 });
    fc.assert(
      fc.property(fc.array(fc.tuple(whole, signed, fc.string())), (rows) => {
        const writer = new ByteWriter();
        for (const [one, other, text] of rows) writer.number(one).signed(other).text(text);
        const reader = new ByteReader(writer.finish());
        for (const [one, other, text] of rows) {
          expect([reader.number(), reader.signed(), reader.text()]).toEqual([one, other, text]);
        }
        expect(reader.done).toBe(true);
      }),
    );
  });

  it('that end early or go on for ever are damage', () => {
    expect(() => new ByteReader(Buffer.of(0x80)).number()).toThrow(DamageError);
    expect(() => new ByteReader(Buffer.alloc(20, 0xff)).number()).toThrow(DamageError);
    expect(() => new ByteReader(Buffer.of(5, 1)).text()).toThrow(DamageError);
  });
});

describe('a pack', () => {
  const group = (pages: number[]) => ({
    pages,
    digests: Buffer.alloc(16 * pages.length, pages[0]),
    rawBytes: pages.length * 4096,
  });

  it('has an index of its frames', () => {
    const builder = new PackBuilder(Buffer.alloc(PACK_BYTES));
    const groups = [group([0, 1, 2]), group([70_000, 16_777_215])];
    const packed = { codec: 2 as const, data: Buffer.alloc(1000, 7) };
    const offsets = groups.map((frame) => builder.add(frame, packed));
    const { bytes, indexOffset } = builder.finish('one');
    expect(offsets).toEqual([0, 1000]);
    expect(indexOffset).toBe(2000);
    const index = readPackIndex(bytes.subarray(indexOffset), 'one');
    for (const [at, offset] of offsets.entries()) {
      const { pages, digests, rawBytes } = groups[at]!;
      expect(index.get(offset)).toEqual({ codec: 2, storedBytes: 1000, rawBytes, pages, digests });
    }
  });

  it('never passes its limits', () => {
    const builder = new PackBuilder(Buffer.alloc(PACK_BYTES));
    const incompressible = { codec: 1 as const, data: Buffer.alloc(262_144) };
    const small = { codec: 2 as const, data: Buffer.alloc(20) };
    let page = 0;
    const next = () => group(Array.from({ length: 64 }, () => page++));
    for (let frame = next(); builder.fits(frame, incompressible); frame = next()) {
      builder.add(frame, incompressible);
    }
    expect(builder.finish('one').bytes.length).toBeLessThanOrEqual(PACK_BYTES);
    const many = new PackBuilder(Buffer.alloc(PACK_BYTES));
    let added = 0;
    for (let frame = next(); many.fits(frame, small); frame = next()) {
      many.add(frame, small);
      added += frame.pages.length;
    }
    expect(added).toBe(PACK_PAGES);
  });

  it('whose index was changed is damage', () => {
    const builder = new PackBuilder(Buffer.alloc(PACK_BYTES));
    builder.add(group([1, 2]), { codec: 2, data: Buffer.alloc(10) });
    const { bytes, indexOffset } = builder.finish('one');
    for (let at = indexOffset; at < bytes.length; at++) {
      const changed = Buffer.from(bytes.subarray(indexOffset));
      changed[at - indexOffset]! ^= 1;
      expect(() => readPackIndex(changed, 'one')).toThrow(DamageError);
    }
    expect(() => readPackIndex(Buffer.alloc(0), 'one')).toThrow(DamageError);
    expect(() => readPackIndex(bytes.subarray(indexOffset), 'two')).toThrow('of another pack');
  });
});

describe('a map', () => {
  it('has segments that come back', () => {
    const division = { sizeBytes: 70_000_001, pageSizeBytes: 4096 };
    const pages = fc.array(
      fc.record({ frame: fc.nat(300), position: fc.nat(63), count: fc.nat(99) }),
    );
    fc.assert(
      fc.property(fc.constantFrom(0, 1), pages, (index, runs) => {
        const segment = new Segment(division, index);
        segment.digests.fill('digest');
        let page = 0;
        for (const { frame, position, count } of runs) {
          for (let at = 0; at < count && position + at < 64 && page < segment.pages; at++) {
            segment.frames[page] = frame;
            segment.positions[page] = position + at;
            page += 1;
          }
        }
        const back = Segment.decode(segment.encode(), division, index, 301);
        expect(back).toEqual(segment);
      }),
    );
  });

  it('has tables that come back', () => {
    const tables = {
      root: Buffer.alloc(16, 9),
      sizeBytes: 64 * 2 ** 30,
      pageSizeBytes: 65_536,
      packs: [
        { id: 'one', indexOffset: 10, sizeBytes: 20 },
        { id: 'two', indexOffset: 8_000_000, sizeBytes: 8_388_608 },
      ],
      frames: [
        { pack: 1, offset: 7_000_000, storedBytes: 262_144, rawBytes: 262_144, codec: 1 },
        { pack: 0, offset: 0, storedBytes: 5, rawBytes: 4096, codec: 2 },
      ],
      segments: Array.from({ length: 1024 }, (_, at) => ({
        lengthBytes: at,
        digest: Buffer.alloc(16, at),
      })),
    };
    const bytes = Buffer.from(encodeTables(tables));
    expect(decodeTables(bytes)).toEqual(tables);
    expect(() => decodeTables(bytes.subarray(0, -1))).toThrow(DamageError);
  });

  it('whose runs lead outside of it is damage', () => {
    const division = { sizeBytes: 8192, pageSizeBytes: 4096 };
    const runs = (...numbers: number[]) =>
      Buffer.from([...Buffer.alloc(16), ...numbers.map((number) => number)]);
    const decode = (bytes: Buffer) => Segment.decode(bytes, division, 0, 3);
    expect(decode(runs(4, 0, 2)).frames).toEqual(Uint32Array.of(2, 2));
    expect(() => decode(runs(6, 0, 2))).toThrow(DamageError); // frame 3 of 3
    expect(() => decode(runs(1, 0, 2))).toThrow(DamageError); // frame -1
    expect(() => decode(runs(0, 0, 3))).toThrow(DamageError); // three pages of two
    expect(() => decode(runs(0, 0, 0))).toThrow(DamageError); // none
    expect(() => decode(runs(0, 0, 1))).toThrow(DamageError); // one of two
    expect(() => decode(runs(0, 0, 2, 0))).toThrow(DamageError); // more
  });
});

describe('a head', () => {
  const head: Head = {
    user: 'ann\u0301',
    database: 'x.db',
    number: 7,
    root: '00'.repeat(16),
    sizeBytes: 4096,
    pageSizeBytes: 4096,
    opaque: false,
    databaseCreatedAtMs: 1,
    label: '"quoted" \u2028',
    uploadId: 'u',
    sha256: '',
    storedBytes: 5,
    unchanged: false,
    deleted: false,
    earlierUploads: [['ab', 6]],
  };

  it('comes back', () => {
    expect(decodeHead(encodeHead(head))).toEqual(head);
  });

  it('that was changed is damage', () => {
    const bytes = encodeHead(head);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      expect(() => decodeHead(changed)).toThrow(DamageError);
    }
    expect(() => decodeHead(Buffer.from('7'))).toThrow(DamageError);
    expect(() => decodeHead(Buffer.alloc(0))).toThrow(DamageError);
  });
});

describe('keys', () => {
  it('put the highest number first, and tell it', () => {
    const numbers = [1, 2, 9, 10, 4095, Number.MAX_SAFE_INTEGER];
    const made = numbers.map((number) => keys.head('u/a/b/', number));
    expect(made.toSorted()).toEqual(made.toReversed());
    expect(made.map(numberInKey)).toEqual(numbers);
    expect(numberInKey('u/a/b/heads/x')).toBeUndefined();
  });

  it('are safe and differ for any names', () => {
    const names = fc.record({ user: fc.string({ unit: 'binary' }), database: fc.string() });
    fc.assert(
      fc.property(names, names, (one, other) => {
        expect(keys.database(one)).toMatch(/^u\/[\da-f]{64}\/[\da-f]{64}\/$/);
        const same = one.user === other.user && one.database === other.database;
        expect(keys.database(one) === keys.database(other)).toBe(same);
      }),
    );
  });

  it('of packs begin alike for one upload', () => {
    const [one, other] = [packId('upload', 'aa', 0), packId('upload', 'bb', 70)];
    expect(one.split('-')[0]).toBe(other.split('-')[0]);
    expect(packId('another', 'aa', 0).split('-')[0]).not.toBe(one.split('-')[0]);
  });
});
