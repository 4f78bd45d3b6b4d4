import { type DescMessage, fromBinary, type Message } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { Code, ServiceError } from './errors.ts';
import { MAX_REQUEST_FIELDS } from './limits.ts';

/**
 * Makes a message of what a client sent. Its size and the number of its fields are looked at before
 * anything is made of them, because an empty message takes 2 bytes to send and a microsecond to make.
 *
 * @throws ServiceError TOO_LARGE, or MALFORMED where it is no valid message
 */
export function decodeRequest(desc: DescMessage, bytes: Buffer, maxBytes: number): Message {
  if (bytes.length > maxBytes) throw tooLarge('bytes', maxBytes);
  try {
    countFields(new BinaryReader(bytes), desc, bytes.length, { left: MAX_REQUEST_FIELDS });
    return fromBinary(desc, bytes);
  } catch (cause) {
    if (cause instanceof ServiceError) throw cause;
    const message = `no valid ${desc.typeName}`;
    throw new ServiceError(Code.INVALID_ARGUMENT, 'MALFORMED', message, { cause });
  }
}

/** Reads as decoding does: through the messages within, and past what it does not know. */
function countFields(
  reader: BinaryReader,
  desc: DescMessage,
  end: number,
  count: { left: number },
): void {
  while (reader.pos < end) {
    if (count.left === 0) throw tooLarge('fields', MAX_REQUEST_FIELDS);
    count.left -= 1;
    const [number, wireType] = reader.tag();
    const field = desc.fields.find((known) => known.number === number);
    if (wireType === WireType.LengthDelimited && field?.message !== undefined) {
      const length = reader.uint32();
      countFields(reader, field.message, reader.pos + length, count);
    } else {
      reader.skip(wireType, number);
    }
  }
}

function tooLarge(what: 'bytes' | 'fields', limit: number): ServiceError {
  const metadata = { [`limit_${what}`]: String(limit) };
  const message = `a request of this method has at most ${limit} ${what}`;
  return new ServiceError(Code.INVALID_ARGUMENT, 'TOO_LARGE', message, { metadata });
}
