import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  digest,
  ExtentCutter,
  extentDigest,
  pageDigests,
  RootDigest,
} from '../../../clients/format/digests.ts';
import { EXTENT_BYTES } from '../../../clients/format/units.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();

describe('digests', () => {
  it('are the first half of SHA-256', () => {
    // The SHA-256 of "abc" is in FIPS 180-2.
    expect(hex(digest(Buffer.from('abc')))).toBe('ba7816bf8f01cfea414140de5dae2223');
  });

  it('of an extent are over those of its pages, the last of which may be shorter', () => {
    const extent = Buffer.alloc(10_000, 'x');
    const pages = pageDigests(extent, 4096);
    const parts = [extent.subarray(0, 4096), extent.subarray(4096, 8192), extent.subarray(8192)];
    expect(pages).toEqual(Buffer.concat(parts.map((part) => sha256(part).subarray(0, 16))));
    expect(extentDigest(pages)).toEqual(sha256(pages).subarray(0, 16));
  });

  it('of a root are over the size and the extents', () => {
    const root = new RootDigest(70_000);
    root.add(Buffer.alloc(16, 1));
    root.add(Buffer.alloc(16, 2));
    const size = Buffer.from('0000000000011170', 'hex');
    const all = Buffer.concat([size, Buffer.alloc(16, 1), Buffer.alloc(16, 2)]);
    expect(root.finish()).toEqual(sha256(all).subarray(0, 16));
  });

  it('keep their known values', () => {
    const file = Buffer.from(Array.from({ length: 70_000 }, (_, at) => (at * at) % 251));
    expect(hex(rootOf([file], file.length, 4096))).toBe('66f30cf696ea42f0ec107a3e312478d1');
    expect(hex(rootOf([file], file.length, 65_536))).toBe('5a80c7a5935d3182e3564d8dbb839c84');
  });
});

describe('cutting a file into extents', () => {
  it('does not depend on the pieces in which it comes', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 200_000 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(sizes, fc.constantFrom(4096, 16_384, 65_536), (pieces, pageSize) => {
        const size = pieces.reduce((sum, piece) => sum + piece, 0);
        const file = Buffer.from(
          Array.from({ length: size }, (_, at) => (at * 31 + (at >> 8)) & 255),
        );
        let at = 0;
        const cut = pieces.map((length) => {
          at += length;
          return file.subarray(at - length, at);
        });
        expect(rootOf(cut, size, pageSize)).toEqual(rootOf([file], size, pageSize));
        expect(
          extentsOf(cut).every((extent, i, all) => i === all.length - 1 || extent === EXTENT_BYTES),
        ).toBe(true);
      }),
      { numRuns: 50 },
    );
  });
});

function rootOf(pieces: Uint8Array[], sizeBytes: number, pageSize: number): Buffer {
  const root = new RootDigest(sizeBytes);
  eachExtent(pieces, (extent) => root.add(extentDigest(pageDigests(extent, pageSize))));
  return root.finish();
}

function extentsOf(pieces: Uint8Array[]): number[] {
  const lengths: number[] = [];
  eachExtent(pieces, (extent) => lengths.push(extent.length));
  return lengths;
}

function eachExtent(pieces: Uint8Array[], take: (extent: Uint8Array) => void): void {
  const cutter = new ExtentCutter();
  for (const piece of pieces) for (const extent of cutter.cut(piece)) take(extent);
  const rest = cutter.rest();
  if (rest !== undefined) take(rest);
}
