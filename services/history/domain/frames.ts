import { FRAME_BYTES, FRAME_MESSAGES } from '../limits.ts';
import type { StoredMessage } from '../store/model.ts';

/** Tags of the protobuf fields that are written here: number × 8 + wire type. */
const TAG = {
  /** `SyncResponse.messages`, and `ChangesResponse.messages`. */
  messages: (1 << 3) | 2,
  /** `Message.seq`, and so on. */
  seq: 1 << 3,
  editedAtMs: 6 << 3,
  deletedAtMs: 7 << 3,
  revision: 8 << 3,
} as const;

/**
 * Copies stored messages into frames: encoded `SyncResponse`s, or `ChangesResponse`s, whose messages
 * have the same field. A message's body is not looked into; what may have changed since it was stored
 * is set behind it, as scalar fields.
 */
export class FrameWriter {
  #messages: StoredMessage[] = [];
  #bytes = 0;

  /** Takes one more message; returns a full frame of those before it, where it does not fit with them. */
  add(message: StoredMessage): Uint8Array | undefined {
    const bytes = sizeOfEntry(message);
    const fits =
      this.#messages.length < FRAME_MESSAGES &&
      (this.#bytes + bytes <= FRAME_BYTES || this.#messages.length === 0);
    const full = fits ? undefined : this.flush();
    this.#messages.push(message);
    this.#bytes += bytes;
    return full;
  }

  /** A frame of what was taken and not given yet; undefined where there is nothing. */
  flush(): Uint8Array | undefined {
    return this.#messages.length > 0 ? this.#take(new Uint8Array()) : undefined;
  }

  /** The last frame: the messages left, and behind them the encoded `result`, which makes them one message. */
  finish(result: Uint8Array): Uint8Array {
    return this.#take(result);
  }

  #take(tail: Uint8Array): Uint8Array {
    const frame = Buffer.allocUnsafe(this.#bytes + tail.length);
    let offset = 0;
    for (const message of this.#messages) offset = writeEntry(frame, offset, message);
    frame.set(tail, offset);
    this.#messages = [];
    this.#bytes = 0;
    return frame;
  }
}

function sizeOfEntry(message: StoredMessage): number {
  const bytes = sizeOfMessage(message);
  return 1 + sizeOfVarint(bytes) + bytes;
}

function sizeOfMessage({ body, seq, editedAtMs, deletedAtMs, revision }: StoredMessage): number {
  return (
    body.length +
    sizeOfField(seq) +
    sizeOfField(zigzag(editedAtMs)) +
    sizeOfField(zigzag(deletedAtMs)) +
    sizeOfField(revision)
  );
}

function writeEntry(frame: Buffer, start: number, message: StoredMessage): number {
  frame[start] = TAG.messages;
  let offset = writeVarint(frame, start + 1, sizeOfMessage(message));
  frame.set(message.body, offset);
  offset += message.body.length;
  offset = writeField(frame, offset, TAG.seq, message.seq);
  offset = writeField(frame, offset, TAG.editedAtMs, zigzag(message.editedAtMs));
  offset = writeField(frame, offset, TAG.deletedAtMs, zigzag(message.deletedAtMs));
  return writeField(frame, offset, TAG.revision, message.revision);
}

/** 0 is a field's default, and not written. */
function sizeOfField(value: number): number {
  return value === 0 ? 0 : 1 + sizeOfVarint(value);
}

function writeField(frame: Buffer, offset: number, tag: number, value: number): number {
  if (value === 0) return offset;
  frame[offset] = tag;
  return writeVarint(frame, offset + 1, value);
}

/** How sint64 writes numbers; the service's own times are never before 1970. */
function zigzag(value: number): number {
  return value * 2;
}

/** Of a whole number from 0 to 2^53 - 1: beyond 2^31 bit operations can't be used. */
function sizeOfVarint(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

function writeVarint(frame: Buffer, start: number, value: number): number {
  let offset = start;
  let rest = value;
  while (rest >= 0x80) {
    frame[offset++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  frame[offset++] = rest;
  return offset;
}
