import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linesOf, readInput } from '../../../clients/cli/lines.ts';

const { signal } = new AbortController();

async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

async function all(input: AsyncIterable<Buffer>) {
  const lines = [];
  for await (const chunk of linesOf(input, 'file')) lines.push(...chunk);
  return lines;
}

describe('linesOf', () => {
  it('cuts at line feeds alone, wherever the pieces end', async () => {
    const text = fc.array(
      fc.string({ unit: 'binary' }).map((line) => line.replaceAll(/[\n\ufeff]/g, '')),
    );
    await fc.assert(
      fc.asyncProperty(text, fc.integer({ min: 1, max: 9 }), async (given, pieceBytes) => {
        const bytes = Buffer.from(given.map((line) => `${line}\n`).join(''));
        const lines = await all(inPieces(bytes, pieceBytes));
        expect(lines.map(({ text }) => text)).toEqual(given.map((line) => line.toWellFormed()));
        expect(lines.map(({ number }) => number)).toEqual(given.map((_, index) => index + 1));
      }),
    );
  });

  it('keeps other separators as text, and a last line without an end', async () => {
    const bytes = Buffer.from('one\u2028still one\r\ntwo\u0085\u000b\n\nlast');
    const lines = await all(inPieces(bytes, 3));
    expect(lines.map(({ text }) => text)).toEqual([
      'one\u2028still one\r',
      'two\u0085\u000b',
      '',
      'last',
    ]);
  });

  it('leaves out a byte order mark at the very beginning, and keeps any other', async () => {
    const lines = await all(inPieces(Buffer.from('\ufeffone\n\ufefftwo\n'), 2));
    expect(lines.map(({ text }) => text)).toEqual(['one', '\ufefftwo']);
    expect((await all(inPieces(Buffer.from('\ufeff\ufeff'), 9)))[0]?.text).toBe('\ufeff');
  });

  it('names the line that is not UTF-8, or without end', async () => {
    const bad = Buffer.concat([Buffer.from('good\n'), Buffer.from([0xed, 0xa0, 0x80, 0x0a])]);
    await expect(all(inPieces(bad, 100))).rejects.toThrow('file:2: not UTF-8');
    const endless = Buffer.alloc(5 << 20, 'x');
    await expect(all(inPieces(endless, 1 << 20))).rejects.toThrow('file:1: longer than 4 MiB');
  });
});

describe('readInput', () => {
  it('unpacks .gz, also of several parts, and tells how much of the file it read', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'backscroll-lines-'));
    try {
      const file = join(folder, 'a.ndjson.gz');
      const packed = Buffer.concat([gzipSync('one\ntw'), gzipSync('o\n')]);
      writeFileSync(file, packed);
      let readBytes = 0;
      const onRead = (bytes: number) => {
        readBytes = bytes;
      };
      const lines = await all(readInput(file, { signal, onRead }));
      expect(lines.map(({ text }) => text)).toEqual(['one', 'two']);
      expect(readBytes).toBe(packed.length);

      writeFileSync(file, packed.subarray(0, -4));
      await expect(all(readInput(file, { signal }))).rejects.toThrow('not a complete gzip file');
      await expect(all(readInput(`${file}.gz`, { signal }))).rejects.toThrow('ENOENT');
      const directory = all(readInput(folder, { signal }));
      await expect(directory).rejects.toThrow(`${folder} is a directory`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
