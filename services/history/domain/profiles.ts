import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type Profile,
  ProfileSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { PROFILE } from '../limits.ts';
import type { StoredProfile } from '../store/profiles.ts';
import { type At, checkBytes, checkMost, checkName, type Faults } from './faults.ts';

/** Notes what is wrong with a profile. */
export function checkProfile(faults: Faults, at: At, profile: Profile): void {
  const { user, displayName, avatarUrl } = profile;
  checkName(faults, () => `${at()}.user`, user);
  checkBytes(faults, () => `${at()}.display_name`, displayName, PROFILE.displayNameBytes);
  checkBytes(faults, () => `${at()}.avatar_url`, avatarUrl, PROFILE.avatarUrlBytes);
  const attributes = Object.entries(profile.attributes);
  checkMost(faults, () => `${at()}.attributes`, attributes.length, PROFILE.attributes);
  for (const [key, value] of attributes.slice(0, PROFILE.attributes)) {
    // As much of a key as a key may have.
    const named = () => `${at()}.attributes[${JSON.stringify(key.slice(0, PROFILE.keyBytes))}]`;
    if (key === '') faults.add('INVALID_FIELD', named(), 'must not be empty');
    if (Buffer.byteLength(key) > PROFILE.keyBytes) {
      faults.add('TOO_LARGE', named(), `must have a key of at most ${PROFILE.keyBytes} bytes`);
    }
    checkBytes(faults, named, value, PROFILE.valueBytes);
  }
}

/** A profile as it is stored: without its time, and without anything that nobody knows. */
export function encodeProfile({ user, displayName, avatarUrl, attributes }: Profile): Buffer {
  const given = create(ProfileSchema, { user, displayName, avatarUrl, attributes });
  return Buffer.from(toBinary(ProfileSchema, given));
}

/** A stored profile as it is told. */
export function profileMessage({ body, updatedAtMs }: StoredProfile): Profile {
  return { ...fromBinary(ProfileSchema, body), updatedAtMs: BigInt(updatedAtMs) };
}
