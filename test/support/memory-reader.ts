import type { SourceReader } from '../../clients/backup/database-file.ts';

/** Reads bytes that are in memory, as an upload reads a file. */
export function readerOf(bytes: Uint8Array): SourceReader {
  return {
    read: async (into, offset) => into.set(bytes.subarray(offset, offset + into.length)),
    confirm: async () => {},
    close: async () => {},
  };
}
