/** Wire type of a field whose length stands before it. */
const LENGTH_DELIMITED = 2;

/** Room for a tag and a length, 5 bytes each at most. */
const START_BYTES = 10;

/**
 * A protobuf message that has one field of bytes (some pieces, joined) and no other, in its encoded
 * form. The generated code's way to it copies the bytes twice and grows memory on the way; this copies
 * once, which is what the parts of a file are worth.
 */
export function encodeBytesField(field: number, ...pieces: Uint8Array[]): Buffer {
  const lengthBytes = pieces.reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([startBytesField(field, lengthBytes), ...pieces]);
}

/** What stands before so many bytes where they are a field of an encoded message. */
export function startBytesField(field: number, lengthBytes: number): Buffer {
  const start = Buffer.alloc(START_BYTES);
  const tagEnd = writeVarint(start, 0, (field << 3) | LENGTH_DELIMITED);
  return start.subarray(0, writeVarint(start, tagEnd, lengthBytes));
}

function writeVarint(target: Buffer, at: number, value: number): number {
  let [end, rest] = [at, value];
  for (; rest > 127; rest >>>= 7) target[end++] = (rest & 127) | 128;
  target[end++] = rest;
  return end;
}
