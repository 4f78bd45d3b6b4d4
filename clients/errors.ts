import { fromBinary } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { type ServiceError as GrpcError, status } from '@grpc/grpc-js';
import { BadRequestSchema, ErrorInfoSchema } from './gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from './gen/google/rpc/status_pb.ts';

/** What is wrong with one field of a request. */
export interface FieldFault {
  /** Path of the field, such as `messages[3].id`. */
  readonly field: string;
  readonly description: string;
}

/** What a `BackscrollError` is made of, besides its message. */
interface ErrorParts {
  readonly code: number;
  readonly reason: string;
  readonly fields?: readonly FieldFault[];
  readonly metadata?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** A call failed. Programs decide by `code` and `reason`; the message is for people. */
export class BackscrollError extends Error {
  override readonly name = 'BackscrollError';
  /** The gRPC status, as `@grpc/grpc-js` numbers it in `status`. */
  readonly code: number;
  /**
   * The service's reason, one of those listed in the README. Where the error is not the service's
   * own (it could not be reached, or the deadline passed here) it is the name of the status, such as
   * `UNAVAILABLE`.
   */
  readonly reason: string;
  /** The fields of the request that are at fault. */
  readonly fields: readonly FieldFault[];
  /** Further facts, such as `error_id` of an INTERNAL error, under which the service's log has more. */
  readonly metadata: Readonly<Record<string, string>>;

  constructor(message: string, parts: ErrorParts) {
    super(message, { cause: parts.cause });
    this.code = parts.code;
    this.reason = parts.reason;
    this.fields = parts.fields ?? [];
    this.metadata = parts.metadata ?? {};
  }

  /** Makes one of whatever a call of grpc-js failed with; what is no gRPC error stays as it is. */
  static from(thrown: unknown): unknown {
    if (!isGrpcError(thrown)) return thrown;
    const { code, details } = thrown;
    return new BackscrollError(details, {
      code,
      reason: status[code] ?? 'UNKNOWN',
      ...detailsOf(thrown),
      cause: thrown,
    });
  }
}

/** Whether a call was refused, or work on this side failed, for a reason. */
export function isReason(error: unknown, reason: string): error is BackscrollError {
  return error instanceof BackscrollError && error.reason === reason;
}

function isGrpcError(thrown: unknown): thrown is GrpcError {
  return (
    thrown instanceof Error &&
    'code' in thrown &&
    typeof thrown.code === 'number' &&
    'details' in thrown
  );
}

/** The details that the service sent; nothing where there are none, or none that can be read. */
function detailsOf(error: GrpcError): Partial<ErrorParts> {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  if (!(bytes instanceof Uint8Array)) return {};
  try {
    const { details } = fromBinary(StatusSchema, bytes);
    const infos = details.map((any) => anyUnpack(any, ErrorInfoSchema));
    const requests = details.map((any) => anyUnpack(any, BadRequestSchema));
    const info = infos.find((found) => found !== undefined);
    const fields = requests.find((found) => found !== undefined)?.fieldViolations ?? [];
    return {
      ...(info && { reason: info.reason, metadata: info.metadata }),
      fields: fields.map(({ field, description }) => ({ field, description })),
    };
  } catch {
    return {};
  }
}
