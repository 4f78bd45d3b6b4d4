import {
  type DescMessage,
  type DescService,
  fromBinary,
  type Message,
  toBinary,
} from '@bufbuild/protobuf';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

/**
 * Describes a generated service to grpc-js.
 *
 * Methods stand under the names that the proto gives them in lower camel case. A message that is to
 * be sent may be given as already encoded bytes, which are passed through uncopied. Fields that the
 * generated code does not know are kept.
 */
export function serviceDefinition(desc: DescService): ServiceDefinition {
  return Object.fromEntries(
    desc.methods.map((method): [string, MethodDefinition<unknown, unknown>] => [
      method.localName,
      {
        path: `/${desc.typeName}/${method.name}`,
        requestStream:
          method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
        responseStream:
          method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
        requestSerialize: (message) => encodeMessage(method.input, message),
        requestDeserialize: (bytes) => fromBinary(method.input, bytes),
        responseSerialize: (message) => encodeMessage(method.output, message),
        responseDeserialize: (bytes) => fromBinary(method.output, bytes),
      },
    ]),
  );
}

/** The bytes of a message; what is encoded already is passed through uncopied. */
export function encodeMessage(desc: DescMessage, message: unknown): Buffer {
  const bytes = message instanceof Uint8Array ? message : toBinary(desc, message as Message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
