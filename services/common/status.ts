import { randomUUID } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { Metadata, type StatusObject } from '@grpc/grpc-js';
import {
  BadRequestSchema,
  ErrorInfoSchema,
} from '../../clients/gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../clients/gen/google/rpc/status_pb.ts';
import { Code, type Reason, ServiceError } from './errors.ts';
import type { Logger } from './logger.ts';

/** `domain` of every ErrorInfo. */
const DOMAIN = 'backscroll';

/**
 * Trailers share one header block of a few KiB with everything else: what is longer is cut, because
 * a block that is too large would take the whole status with it.
 */
const MAX_TEXT_LENGTH = 512;
const MAX_FIELDS = 8;

/** Failures of the store: the caller learns that it failed, and the log why. */
const LOGGED: Partial<Record<Reason, 'warn' | 'error'>> = {
  STORE_UNAVAILABLE: 'warn',
  DAMAGED: 'error',
  NOT_VERIFIED: 'error',
};

/**
 * Turns whatever was thrown into the error that the caller sees. What is no `ServiceError` becomes
 * INTERNAL with a new id, under which the log has the rest; failures of the store are logged as well.
 */
export function toServiceError(thrown: unknown, log: Logger): ServiceError {
  if (thrown instanceof ServiceError) {
    const { reason } = thrown;
    const level = LOGGED[reason];
    if (level) log[level]({ reason, fault: describeFault(thrown) }, 'the store failed a call');
    return thrown;
  }
  const errorId = randomUUID();
  log.error({ errorId, fault: describeFault(thrown) }, 'a fault of the service');
  const metadata = { error_id: errorId };
  return new ServiceError(Code.INTERNAL, 'INTERNAL', `Internal error ${errorId}`, { metadata });
}

/** Status and trailers of an error. */
export function toStatus(error: ServiceError): StatusObject {
  const message = cut(error.message);
  const info = create(ErrorInfoSchema, {
    reason: error.reason,
    domain: DOMAIN,
    metadata: error.metadata,
  });
  const details = [anyPack(ErrorInfoSchema, info)];
  if (error.fields.length > 0) {
    const fieldViolations = error.fields.slice(0, MAX_FIELDS).map(({ field, description }) => ({
      field: cut(field),
      description: cut(description),
    }));
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  const status = create(StatusSchema, { code: error.code, message, details });
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(toBinary(StatusSchema, status)));
  return { code: error.code, details: message, metadata };
}

/** Lone surrogates, also those that cutting leaves, can't be encoded. */
function cut(text: string): string {
  return text.slice(0, MAX_TEXT_LENGTH).toWellFormed();
}

/** What a log may say of a fault: drivers hang statements with people's words on their errors. */
export function describeFault(thrown: unknown): Record<string, unknown> {
  if (!(thrown instanceof Error)) return { message: `a ${typeof thrown} was thrown` };
  const { name, message, stack, cause } = thrown;
  const { code } = thrown as NodeJS.ErrnoException;
  return {
    name,
    message,
    code,
    stack,
    ...(cause !== undefined && { cause: describeFault(cause) }),
  };
}
