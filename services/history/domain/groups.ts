import { create } from '@bufbuild/protobuf';
import {
  type Group,
  GroupSchema,
  HistoryVisibility,
  type Member,
  Role,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { GROUP } from '../limits.ts';
import type { Conversation } from '../store/model.ts';
import { type ConversationRow, ROLE, VISIBILITY } from '../store/standing.ts';
import { type At, checkBytes, checkKnown, checkMost, checkName, type Faults } from './faults.ts';

/** Settings of a group as requests give them. */
export interface GivenSettings {
  readonly title?: string | undefined;
  readonly historyVisibility: HistoryVisibility;
  readonly visibleMessages: bigint;
  readonly retentionS?: bigint | undefined;
}

/** What of a group a request sets. */
export type Settings = Partial<
  Pick<ConversationRow, 'title' | 'visibility' | 'visibleMessages' | 'retentionS'>
>;

/** What a group is where nothing is said. */
export const DEFAULT_SETTINGS: Required<Settings> = {
  title: '',
  visibility: VISIBILITY.all,
  visibleMessages: 0,
  retentionS: 0,
};

/** Notes what is wrong with settings. */
export function checkSettings(faults: Faults, settings: GivenSettings): void {
  const { title = '', historyVisibility, visibleMessages, retentionS = 0n } = settings;
  checkBytes(faults, () => 'title', title, GROUP.titleBytes);
  checkKnown(faults, () => 'history_visibility', historyVisibility, HistoryVisibility);
  const counts = historyVisibility === HistoryVisibility.LAST;
  if (counts && visibleMessages === 0n) {
    faults.add('MISSING_FIELD', 'visible_messages', 'is required with HISTORY_VISIBILITY_LAST');
  } else if (!counts && visibleMessages !== 0n) {
    faults.add('INVALID_FIELD', 'visible_messages', 'goes with HISTORY_VISIBILITY_LAST alone');
  }
  if (counts) checkMost(faults, () => 'visible_messages', visibleMessages, GROUP.visibleMessages);
  checkMost(faults, () => 'retention_s', retentionS, GROUP.retentionS);
}

/** What checked settings set. */
export function settingsOf(given: GivenSettings): Settings {
  const { title, historyVisibility, visibleMessages, retentionS } = given;
  return {
    ...(title !== undefined && { title }),
    // As the proto numbers them.
    ...(historyVisibility !== HistoryVisibility.UNSPECIFIED && {
      visibility: historyVisibility,
      visibleMessages: Number(visibleMessages),
    }),
    ...(retentionS !== undefined && { retentionS: Number(retentionS) }),
  };
}

/** Notes what is wrong with members to add: each is there once. */
export function checkMembers(faults: Faults, members: readonly Member[]): void {
  checkMost(faults, () => 'members', members.length, GROUP.membersAtOnce);
  const users = new Set<string>();
  for (const [index, { user, role }] of members.slice(0, GROUP.membersAtOnce).entries()) {
    const at: At = () => `members[${index}].user`;
    checkName(faults, at, user);
    if (users.has(user)) faults.add('INVALID_FIELD', at(), 'is there twice');
    users.add(user);
    checkKnown(faults, () => `members[${index}].role`, role, Role);
  }
}

/** The role that each of checked members gets. */
export function rolesOf(members: readonly Member[]): Map<string, number> {
  // As the proto numbers them.
  return new Map(members.map(({ user, role }) => [user, role || ROLE.member]));
}

/** A group as it is told. */
export function groupMessage({ names }: Conversation, group: ConversationRow): Group {
  return create(GroupSchema, {
    group: names[0]!,
    title: group.title,
    historyVisibility: group.visibility as HistoryVisibility,
    visibleMessages: BigInt(group.visibleMessages),
    retentionS: BigInt(group.retentionS),
    createdAtMs: BigInt(group.createdAtMs),
    memberCount: group.memberCount,
  });
}
