import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type CallOptions, callUnary, typedMethods, unhurried } from '../calls.ts';
import {
  AddMembersRequestSchema,
  type AddMembersResponse,
  CreateGroupRequestSchema,
  DeleteGroupRequestSchema,
  DirectoryService,
  EraseUserRequestSchema,
  type EraseUserResponse,
  GetGroupRequestSchema,
  type GetGroupResponse,
  GetProfilesRequestSchema,
  type GetProfilesResponse,
  type Group,
  GroupSchema,
  ListMembersRequestSchema,
  type Member,
  PutProfilesRequestSchema,
  RemoveMembersRequestSchema,
  type RemoveMembersResponse,
  SetRoleRequestSchema,
  UpdateGroupRequestSchema,
} from '../gen/backscroll/history/v1/directory_pb.ts';
import { pagesOf } from '../pages.ts';
import { ServiceClient } from '../service-client.ts';

/** A group, and who acts; without `user` it is the calling service. */
export interface GroupOf {
  readonly group: string;
  readonly user?: string | undefined;
}

/** Any part of the proto's `CreateGroupRequest`, with the group's name. */
export type CreateGroupInit = MessageInitShape<typeof CreateGroupRequestSchema> & {
  readonly group: string;
};

/** What to change of a group; what is absent stays. */
export type UpdateGroupInit = MessageInitShape<typeof UpdateGroupRequestSchema> & {
  readonly group: string;
};

/** A member to add: `{ user: 'carol' }`, with a role where it is to be more than a plain member. */
export type MemberInit = { readonly user: string; readonly role?: Member['role'] };

/** A profile to store; what is absent is empty. */
export type ProfileInit = {
  readonly user: string;
  readonly displayName?: string;
  readonly avatarUrl?: string;
  readonly attributes?: { readonly [key: string]: string };
};

/**
 * Calls the directory of a history service: groups, members and profiles. Whatever a call fails with is
 * a `BackscrollError` with a `reason`; every call is repeatable, and UNAVAILABLE was tried again
 * already. One client serves any number of calls at once.
 */
export class DirectoryClient extends ServiceClient {
  /** Creates a group, and resolves to it as it stands. */
  async createGroup(request: CreateGroupInit, options?: CallOptions): Promise<Group> {
    const message = create(CreateGroupRequestSchema, request);
    return groupOf(await callUnary(this.channel, methods.createGroup, message, options));
  }

  /** A group's settings, and the role of `user` in it. */
  getGroup(request: GroupOf, options?: CallOptions): Promise<GetGroupResponse> {
    const message = create(GetGroupRequestSchema, addressed(request));
    return callUnary(this.channel, methods.getGroup, message, options);
  }

  /** Renames a group or changes its settings, and resolves to it as it stands. */
  async updateGroup(request: UpdateGroupInit, options?: CallOptions): Promise<Group> {
    const message = create(UpdateGroupRequestSchema, request);
    return groupOf(await callUnary(this.channel, methods.updateGroup, message, options));
  }

  /**
   * Deletes a group with its messages, for everyone; resolves when all of them, former members too, find
   * it gone in their inbox. Has no time limit of its own.
   */
  async deleteGroup(request: GroupOf, options?: CallOptions): Promise<void> {
    const message = create(DeleteGroupRequestSchema, addressed(request));
    await callUnary(this.channel, methods.deleteGroup, message, unhurried(options));
  }

  /** Adds up to 1,000 members, all or none. */
  addMembers(
    request: GroupOf & { readonly members: readonly MemberInit[] },
    options?: CallOptions,
  ): Promise<AddMembersResponse> {
    const message = create(AddMembersRequestSchema, {
      ...addressed(request),
      members: [...request.members],
    });
    return callUnary(this.channel, methods.addMembers, message, options);
  }

  /** Removes up to 1,000 members; who is none is left out. */
  removeMembers(
    request: GroupOf & { readonly members: readonly string[] },
    options?: CallOptions,
  ): Promise<RemoveMembersResponse> {
    const message = create(RemoveMembersRequestSchema, {
      ...addressed(request),
      members: [...request.members],
    });
    return callUnary(this.channel, methods.removeMembers, message, options);
  }

  /** Gives a member another role. */
  async setRole(
    request: GroupOf & { readonly member: string; readonly role: Member['role'] },
    options?: CallOptions,
  ): Promise<void> {
    const { member, role } = request;
    const message = create(SetRoleRequestSchema, { ...addressed(request), member, role });
    await callUnary(this.channel, methods.setRole, message, options);
  }

  /** A group's members in the order of their names' bytes, fetched page by page as they are read. */
  async *members(
    request: GroupOf & { readonly pageSize?: number },
    options?: CallOptions,
  ): AsyncGenerator<Member, void, undefined> {
    const fields = { ...addressed(request), pageSize: request.pageSize ?? 0 };
    const pages = pagesOf((pageToken) => {
      const message = create(ListMembersRequestSchema, { ...fields, pageToken });
      return callUnary(this.channel, methods.listMembers, message, options);
    });
    for await (const { members } of pages) yield* members;
  }

  /** Stores up to 500 profiles, each whole. */
  async putProfiles(profiles: readonly ProfileInit[], options?: CallOptions): Promise<void> {
    const message = create(PutProfilesRequestSchema, { profiles: [...profiles] });
    await callUnary(this.channel, methods.putProfiles, message, options);
  }

  /** Profiles of up to 500 users, without those that were not stored after `changedSinceMs`; and who has none. */
  async getProfiles(
    users: readonly string[],
    options: CallOptions & { readonly changedSinceMs?: bigint | number } = {},
  ): Promise<GetProfilesResponse> {
    const changedSinceMs = BigInt(options.changedSinceMs ?? 0);
    const message = create(GetProfilesRequestSchema, { users: [...users], changedSinceMs });
    return callUnary(this.channel, methods.getProfiles, message, options);
  }

  /** Removes a person with all that they said; resolves when all is gone. Has no time limit of its own. */
  eraseUser(user: string, options?: CallOptions): Promise<EraseUserResponse> {
    const message = create(EraseUserRequestSchema, { user });
    return callUnary(this.channel, methods.eraseUser, message, unhurried(options));
  }
}

const methods = typedMethods(DirectoryService);

function addressed({ user = '', group }: GroupOf) {
  return { user, group };
}

/** The service always sets it. */
function groupOf({ group }: { readonly group?: Group | undefined }): Group {
  return group ?? create(GroupSchema);
}
