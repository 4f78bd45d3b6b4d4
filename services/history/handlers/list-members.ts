import { create } from '@bufbuild/protobuf';
import {
  type ListMembersRequest,
  type ListMembersResponse,
  ListMembersResponseSchema,
  type Member,
  MemberSchema,
  type Role,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { invalidArgument } from '../../common/errors.ts';
import type { HistoryContext } from '../context.ts';
import { readPageToken, writePageToken } from '../domain/page-token.ts';
import { checkRole } from '../domain/rights.ts';
import { GROUP } from '../limits.ts';
import { readMembers } from '../store/members.ts';
import { type MemberRow, ROLE, readStanding } from '../store/standing.ts';
import { actorOf } from './group-request.ts';

/** Lists a page of a group's members. */
export async function listMembers(
  { database }: Pick<HistoryContext, 'database'>,
  request: ListMembersRequest,
  { caller, signal }: CallContext,
): Promise<ListMembersResponse> {
  const { user, conversation } = actorOf(caller, request);
  const after = placeOf(conversation.id, request.pageToken);
  const standing = await readStanding(database, conversation.id, [user], signal);
  checkRole(conversation, user, standing, ROLE.member);

  const size = Math.min(request.pageSize || GROUP.pageDefault, GROUP.pageMax);
  const found = await readMembers(database, conversation.id, after, size + 1, signal);
  const page = found.slice(0, size);
  const { lastSeq } = standing!.conversation;
  return create(ListMembersResponseSchema, {
    members: page.map((member) => told(member, lastSeq)),
    nextPageToken:
      found.length > size ? writePageToken(conversation.id, Buffer.from(page.at(-1)!.user)) : '',
  });
}

/** The name behind which the page begins. */
function placeOf(conversationId: Buffer, token: string): Buffer {
  const place = token === '' ? Buffer.alloc(0) : readPageToken(conversationId, token);
  if (place) return place;
  throw invalidArgument('INVALID_FIELD', 'page_token', 'was not given by this service');
}

function told(
  { user, role, joinedAtMs, readSeq, deliveredSeq }: MemberRow,
  lastSeq: number,
): Member {
  return create(MemberSchema, {
    user,
    role: role as Role,
    joinedAtMs: BigInt(joinedAtMs),
    readSeq: BigInt(Math.min(readSeq, lastSeq)),
    deliveredSeq: BigInt(Math.min(deliveredSeq, lastSeq)),
  });
}
