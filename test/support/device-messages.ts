import { DatabaseSync } from 'node:sqlite';
import { create } from '@bufbuild/protobuf';
import { type Message, MessageSchema } from '../../clients/gen/backscroll/history/v1/message_pb.ts';

/** Messages of bob's with consecutive seqs, each of which tells its own in about a KiB. */
export function messagesOf(fromSeq: number, count: number): Message[] {
  return Array.from({ length: count }, (_, n) => {
    const seq = fromSeq + n;
    return create(MessageSchema, {
      ...{ seq: BigInt(seq), id: `m${seq}`, sender: 'bob', sentAtMs: BigInt(seq) },
      content: { text: `${seq} ${'x'.repeat(1_000)}` },
    });
  });
}

/** How many messages a device's database has; throws where it is damaged, or lacks one below the highest. */
export function auditOf(file: string): number {
  const database = new DatabaseSync(file, { timeout: 30_000 });
  try {
    const whole = database.prepare('PRAGMA integrity_check').get()?.integrity_check;
    if (whole !== 'ok') throw new Error(`damaged: ${whole}`);
    const row = database
      .prepare('SELECT count(*) AS count, coalesce(max(seq), 0) AS last FROM message')
      .get();
    if (row?.count !== row?.last) throw new Error(`${row?.count} messages up to ${row?.last}`);
    return Number(row?.count);
  } finally {
    database.close();
  }
}
