import { createHash } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../../errors.ts';
import type { File } from '../../gen/backscroll/history/v1/message_pb.ts';
import { type ConversationName, type LocalMessage, safe } from '../local/message.ts';
import type { FileRequest } from './transfer-handler.ts';

/** Where a file stands: `position` counts the files of its message from 0. */
export interface FilePlace {
  readonly conversation: ConversationName;
  /** Undefined while the message is in the outbox. */
  readonly seq: number | undefined;
  readonly position: number;
}

/** A file as its message describes it. */
export interface MessageFile {
  readonly place: FilePlace;
  /** Its SHA-256 in hex; undefined where the message does not tell. */
  readonly sha256: string | undefined;
  /** What it is expected under: its SHA-256, or a hash of its size and url. */
  readonly key: string;
  readonly request: Omit<FileRequest, 'priority'>;
}

/**
 * Whether it can be found again once it was fetched: by its own SHA-256, or by what is noted under the
 * seq of its message.
 */
export function canBeFound({ sha256, place }: MessageFile): boolean {
  return sha256 !== undefined || place.seq !== undefined;
}

/** Files whose keys begin alike stand in one folder, and are fetched one after the other. */
export function shardOf(key: string): string {
  return key.slice(0, 2);
}

/** The files that a message carries. */
export function filesOf(message: LocalMessage): MessageFile[] {
  const files = message.content?.files ?? [];
  return files.map((file, position) => fileOf(message, file, position));
}

/** One of the files that a message carries: INVALID_ARGUMENT, reason NO_SUCH_FILE, where it is none. */
export function fileAt(message: LocalMessage, position: number): MessageFile {
  const file = message.content?.files[position];
  if (file) return fileOf(message, file, position);
  throw new BackscrollError(`The message has no file ${position}`, {
    code: status.INVALID_ARGUMENT,
    reason: 'NO_SUCH_FILE',
  });
}

function fileOf(message: LocalMessage, file: File, position: number): MessageFile {
  const { conversation, seq, sender, sentAtMs } = message;
  const { url, name, mediaType } = file;
  const sha256 = file.sha256.length === 32 ? Buffer.from(file.sha256).toString('hex') : undefined;
  const sizeBytes = safe(file.sizeBytes);
  return {
    place: { conversation, seq, position },
    sha256,
    key: sha256 ?? createHash('sha256').update(`${sizeBytes} ${url}`).digest('hex'),
    request: { conversation, sender, sentAtMs, url, name, mediaType, sizeBytes },
  };
}
