import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import {
  AddMembersRequestSchema,
  CreateGroupRequestSchema,
  DeleteGroupRequestSchema,
  GetGroupRequestSchema,
  GetProfilesRequestSchema,
  ListMembersRequestSchema,
  PutProfilesRequestSchema,
  RemoveMembersRequestSchema,
  Role,
  SetRoleRequestSchema,
  UpdateGroupRequestSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { Order } from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import { Code } from '../../../services/common/errors.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { addMembers } from '../../../services/history/handlers/add-members.ts';
import { createGroup } from '../../../services/history/handlers/create-group.ts';
import { deleteGroup } from '../../../services/history/handlers/delete-group.ts';
import { getGroup } from '../../../services/history/handlers/get-group.ts';
import { getProfiles } from '../../../services/history/handlers/get-profiles.ts';
import { listMembers } from '../../../services/history/handlers/list-members.ts';
import { putProfiles } from '../../../services/history/handlers/put-profiles.ts';
import { removeMembers } from '../../../services/history/handlers/remove-members.ts';
import { setRole } from '../../../services/history/handlers/set-role.ts';
import { updateGroup } from '../../../services/history/handlers/update-group.ts';
import { callAs, methodsOf } from './calls.ts';
import { never } from './engines.ts';

type Parts = Pick<HistoryContext, 'database' | 'appends' | 'nowMs'>;

/** The methods about one group, by a service (user: empty) or by a user who calls themself, until `signal` fires. */
export function actorsIn(context: Parts, group: string, signal = never) {
  return (user = '') => {
    const call = callAs(user, signal);
    const history = methodsOf(context, call);
    const conversation = { case: 'group', value: group } as const;
    return {
      create: (request: MessageInitShape<typeof CreateGroupRequestSchema> = {}) =>
        createGroup(context, create(CreateGroupRequestSchema, { user, group, ...request }), call),
      get: async () => getGroup(context, create(GetGroupRequestSchema, { user, group }), call),
      update: (request: MessageInitShape<typeof UpdateGroupRequestSchema>) =>
        updateGroup(context, create(UpdateGroupRequestSchema, { user, group, ...request }), call),
      delete: () => deleteGroup(context, create(DeleteGroupRequestSchema, { user, group }), call),
      add: (...members: (string | readonly [user: string, role: Role])[]) =>
        addMembers(
          context,
          create(AddMembersRequestSchema, {
            ...{ user, group },
            members: members.map((member) => {
              const [user, role] = typeof member === 'string' ? [member, Role.UNSPECIFIED] : member;
              return { user, role };
            }),
          }),
          call,
        ),
      remove: (...members: string[]) =>
        removeMembers(context, create(RemoveMembersRequestSchema, { user, group, members }), call),
      setRole: (member: string, role: Role) =>
        setRole(context, create(SetRoleRequestSchema, { user, group, member, role }), call),
      list: (request: MessageInitShape<typeof ListMembersRequestSchema> = {}) =>
        listMembers(context, create(ListMembersRequestSchema, { user, group, ...request }), call),
      /** Appends texts. */
      say: (sender: string, ...texts: string[]) =>
        history.append({
          ...{ user, conversation },
          messages: texts.map((text) => ({ sender, content: { text } })),
        }),
      /** All that the user sees, oldest first, and the result. */
      async read() {
        const order = Order.OLDEST_FIRST;
        const page = await history.sync({ user, conversation, count: 1_000_000, order });
        return { ...page, texts: page.messages.map(({ content }) => content?.text ?? '') };
      },
    };
  };
}

/** The methods of profiles, by a service or by a user. */
export function profilesOf(context: Parts, user = '') {
  const call = callAs(user);
  return {
    put: (
      ...profiles: NonNullable<MessageInitShape<typeof PutProfilesRequestSchema>['profiles']>
    ) => putProfiles(context, create(PutProfilesRequestSchema, { profiles }), call),
    async get(users: readonly string[], changedSinceMs = 0n) {
      const request = create(GetProfilesRequestSchema, { users: [...users], changedSinceMs });
      return (await getProfiles(context, request, call)).profiles;
    },
  };
}

/** An error that names these fields. */
export function invalid(reason: string, ...fields: string[]) {
  const faults = fields.map((field) => expect.objectContaining({ field }));
  return { code: Code.INVALID_ARGUMENT, reason, fields: faults };
}

/** What everybody is told who is no member, whether there is a group or not. */
export const notAMember = {
  code: Code.PERMISSION_DENIED,
  reason: 'NOT_A_MEMBER',
  message: 'The user is no member of the group, or there is no such group.',
  fields: [],
  metadata: {},
};

/** What members are told whose role does not do. */
export const roleTooLow = { code: Code.PERMISSION_DENIED, reason: 'ROLE_TOO_LOW' };
