import { randomBytes } from 'node:crypto';
import { constants, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  FrameCodec,
  FrameError,
  FramePacker,
  unpackFrame,
} from '../../../clients/format/frames.ts';
import { FRAME_BYTES } from '../../../clients/format/units.ts';

async function packFrame(pages: Uint8Array) {
  using packer = new FramePacker();
  return await packer.pack(pages);
}

describe('frames', () => {
  it('come back as they were packed', async () => {
    for (const pages of [Buffer.alloc(FRAME_BYTES, 'chat '), Buffer.of(1), randomBytes(5000)]) {
      const { codec, data } = await packFrame(pages);
      expect(await unpackFrame(codec, data, pages.length)).toEqual(pages);
    }
  });

  it('come back whatever was packed before them', async () => {
    using packer = new FramePacker();
    for (let seed = 0; seed < 60; seed++) {
      const pages = Buffer.alloc(1 + ((seed * 50_021) % FRAME_BYTES), `seed ${seed}`);
      pages.set(randomBytes(pages.length >> 1));
      const { codec, data } = await packer.pack(pages);
      expect((await unpackFrame(codec, data, pages.length)).equals(pages)).toBe(true);
    }
  });

  it('take no more memory however many are packed', async () => {
    using packer = new FramePacker();
    const pages = Buffer.alloc(FRAME_BYTES, randomBytes(FRAME_BYTES / 2));
    const before = process.memoryUsage().arrayBuffers;
    for (let frame = 0; frame < 100; frame++) await packer.pack(pages);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20);
  });

  it('are compressed where that helps, and state their content size', async () => {
    const { codec, data } = await packFrame(Buffer.alloc(FRAME_BYTES, 'chat '));
    expect(codec).toBe(FrameCodec.zstd);
    expect(data.length).toBeLessThan(1000);
    // RFC 8878, 3.1.1.1: magic number, then a descriptor whose upper two bits tell of the size field.
    expect(Buffer.from(data).readUInt32LE()).toBe(0xfd2fb528);
    expect(data[4]! >> 6).toBeGreaterThan(0);
  });

  it('are left raw where it does not', async () => {
    const pages = randomBytes(8192);
    const { codec, data } = await packFrame(pages);
    expect(codec).toBe(FrameCodec.raw);
    expect(data).toBe(pages);
  });

  it('of another length than said are refused', async () => {
    const { codec, data } = await packFrame(Buffer.alloc(8192));
    await expect(unpackFrame(codec, data, 4096)).rejects.toThrow(FrameError);
    await expect(unpackFrame(codec, data, 12_288)).rejects.toThrow(FrameError);
    await expect(unpackFrame(FrameCodec.raw, Buffer.alloc(10), 11)).rejects.toThrow(FrameError);
  });

  it('that unpack to far more than said are refused before they fill the memory', async () => {
    const bomb = zstdCompressSync(Buffer.alloc(512 << 20), {
      params: { [constants.ZSTD_c_compressionLevel]: 1 },
    });
    const before = process.memoryUsage().arrayBuffers;
    await expect(unpackFrame(FrameCodec.zstd, bomb, 4096)).rejects.toThrow(FrameError);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 << 20);
  });

  it('that are damaged or of an unknown codec are refused', async () => {
    const { data } = await packFrame(Buffer.alloc(8192, 'chat'));
    await expect(unpackFrame(FrameCodec.zstd, data.subarray(1), 8192)).rejects.toThrow(FrameError);
    await expect(unpackFrame(FrameCodec.zstd, data.subarray(0, 9), 8192)).rejects.toThrow(
      FrameError,
    );
    await expect(unpackFrame(0, data, 8192)).rejects.toThrow(FrameError);
    await expect(unpackFrame(3, data, 8192)).rejects.toThrow(FrameError);
  });
});
