import { create } from '@bufbuild/protobuf';
import {
  type PutProfilesRequest,
  type PutProfilesResponse,
  PutProfilesResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { checkMost, checkTogether, Faults } from '../domain/faults.ts';
import { checkProfile, encodeProfile } from '../domain/profiles.ts';
import { PROFILE } from '../limits.ts';
import { type StoredProfile, writeProfiles } from '../store/profiles.ts';
import { checkCaller } from './authorize.ts';

/** Stores profiles, each in place of the one that is there. */
export async function putProfiles(
  { database, nowMs }: Pick<HistoryContext, 'database' | 'nowMs'>,
  request: PutProfilesRequest,
  { caller }: CallContext,
): Promise<PutProfilesResponse> {
  const profiles = parse(request, nowMs());
  for (const { user } of profiles) checkCaller(caller, [user]);
  await writeProfiles(database, profiles);
  return create(PutProfilesResponseSchema);
}

/** @throws ServiceError INVALID_ARGUMENT with all faults */
function parse({ profiles }: PutProfilesRequest, updatedAtMs: number): StoredProfile[] {
  const faults = new Faults();
  if (profiles.length === 0) faults.add('MISSING_FIELD', 'profiles', 'is required');
  checkMost(faults, () => 'profiles', profiles.length, PROFILE.atOnce);
  faults.throwIfAny();
  const users = new Set<string>();
  for (const [index, profile] of profiles.entries()) {
    const at = () => `profiles[${index}]`;
    checkProfile(faults, at, profile);
    if (users.has(profile.user)) faults.add('INVALID_FIELD', `${at()}.user`, 'is there twice');
    users.add(profile.user);
  }
  faults.throwIfAny();
  const encoded = profiles.map((profile) => {
    return { user: profile.user, updatedAtMs, body: encodeProfile(profile) };
  });
  const bytes = encoded.reduce((sum, { body }) => sum + body.length, 0);
  checkTogether(faults, () => 'profiles', bytes, PROFILE.putBytes);
  faults.throwIfAny();
  return encoded;
}
