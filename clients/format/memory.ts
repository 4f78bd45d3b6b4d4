/** Smaller memory may be the pool of Node's buffers, of 64 KiB and a little. */
const OWN_BYTES = 80 * 1024;

/**
 * Gives back the memory that some bytes lie in, which nothing may refer to any more: now, and not when
 * V8 next collects. By then there is more of it than all that an upload or a download needs, and V8,
 * which counts it as its own, collects all the more often.
 */
export function release({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= OWN_BYTES) buffer.transfer(0);
}
