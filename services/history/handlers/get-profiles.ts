import { create } from '@bufbuild/protobuf';
import {
  type GetProfilesRequest,
  type GetProfilesResponse,
  GetProfilesResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { invalidArgument } from '../../common/errors.ts';
import type { HistoryContext } from '../context.ts';
import { checkMost, checkName, Faults } from '../domain/faults.ts';
import { profileMessage } from '../domain/profiles.ts';
import { PROFILE } from '../limits.ts';
import { readProfiles, type StoredProfile } from '../store/profiles.ts';

/** Gives the profiles of those named who have one, and the others, whoever asks. */
export async function getProfiles(
  { database }: Pick<HistoryContext, 'database'>,
  request: GetProfilesRequest,
  { signal }: CallContext,
): Promise<GetProfilesResponse> {
  const users = parse(request);
  const sinceMs = clamped(request.changedSinceMs);
  const profiles: StoredProfile[] = [];
  const absentUsers: string[] = [];
  let bytes = 0;
  for (let from = 0; from < users.length; from += PROFILE.readAtOnce) {
    const some = users.slice(from, from + PROFILE.readAtOnce);
    const found = await readProfiles(database, some, sinceMs, signal);
    absentUsers.push(...some.filter((user) => !found.has(user)));
    const changed = some.flatMap((user) => found.get(user) ?? []);
    profiles.push(...changed);
    bytes += changed.reduce((sum, { body }) => sum + body.length, 0);
    if (bytes > PROFILE.getBytes) {
      const description = `have profiles of more than ${PROFILE.getBytes} bytes together`;
      throw invalidArgument('TOO_LARGE', 'users', description);
    }
  }
  return create(GetProfilesResponseSchema, {
    profiles: profiles.map(profileMessage),
    absentUsers,
  });
}

/** The users, each once. @throws ServiceError INVALID_ARGUMENT with all faults */
function parse({ users }: GetProfilesRequest): string[] {
  const faults = new Faults();
  if (users.length === 0) faults.add('MISSING_FIELD', 'users', 'is required');
  checkMost(faults, () => 'users', users.length, PROFILE.atOnce);
  faults.throwIfAny();
  for (const [index, user] of users.entries()) checkName(faults, () => `users[${index}]`, user);
  faults.throwIfAny();
  return [...new Set(users)];
}

/** 0 is all: times before it there are none. */
function clamped(changedSinceMs: bigint): number {
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(changedSinceMs < 0n ? 0n : changedSinceMs < most ? changedSinceMs : most);
}
