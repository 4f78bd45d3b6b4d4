import { create } from '@bufbuild/protobuf';
import {
  type EraseUserRequest,
  type EraseUserResponse,
  EraseUserResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { eraseUser as erase } from '../domain/erase-user.ts';
import { checkName, Faults } from '../domain/faults.ts';
import { checkCaller } from './authorize.ts';

/** Erases a user; where the caller goes away before the end, the sweep goes on. */
export async function eraseUser(
  { database, nowMs }: Pick<HistoryContext, 'database' | 'nowMs'>,
  { user }: EraseUserRequest,
  { caller, signal }: CallContext,
): Promise<EraseUserResponse> {
  const faults = new Faults();
  checkName(faults, () => 'user', user);
  faults.throwIfAny();
  checkCaller(caller, [user]);
  let messages = 0;
  let conversations = 0;
  for await (const step of erase(database, user, nowMs())) {
    messages += step.messages;
    conversations += step.conversations;
    signal.throwIfAborted();
  }
  return create(EraseUserResponseSchema, {
    messages: BigInt(messages),
    conversations: BigInt(conversations),
  });
}
