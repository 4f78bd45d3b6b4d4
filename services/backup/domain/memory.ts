import { FRAME_BYTES } from '../../../clients/format/units.ts';

/**
 * Gives back memory that nothing else refers to now, not when V8 next collects: by then there is more
 * of it than all that an upload or a download needs.
 */
export function release({ buffer }: Buffer): void {
  // Smaller ones may be parts of a pool.
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= FRAME_BYTES) buffer.transfer(0);
}
