import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type Conversation as ConversationTold,
  ListConversationsRequestSchema,
  type ListConversationsResponse,
  MarkDeliveredRequestSchema,
  MarkReadRequestSchema,
} from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { CallContext } from '../../../services/common/call.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { listConversations } from '../../../services/history/handlers/list-conversations.ts';
import { markDelivered, markRead } from '../../../services/history/handlers/marks.ts';
import type { Database, Value } from '../../../services/history/store/database.ts';
import type { Conversation } from '../../../services/history/store/model.ts';
import { KIND, nameColumns } from '../../../services/history/store/model.ts';
import { callBy } from './calls.ts';

/** The methods of inbox and read state, called as over the wire, by a service where nothing else is said. */
export function inboxMethods(
  context: Pick<HistoryContext, 'database' | 'nowMs'>,
  call: CallContext = callBy('service'),
) {
  const list = (request: MessageInitShape<typeof ListConversationsRequestSchema>) =>
    listConversations(context, create(ListConversationsRequestSchema, request), call);
  return {
    list,
    markRead: (request: MessageInitShape<typeof MarkReadRequestSchema>) =>
      markRead(context, create(MarkReadRequestSchema, request), call),
    markDelivered: (request: MessageInitShape<typeof MarkDeliveredRequestSchema>) =>
      markDelivered(context, create(MarkDeliveredRequestSchema, request), call),
    /** All pages; `between` runs after each that is not the last. */
    async pages(
      request: MessageInitShape<typeof ListConversationsRequestSchema>,
      between: (page: ListConversationsResponse) => Promise<void> = async () => {},
    ): Promise<ListConversationsResponse[]> {
      const pages = [await list(request)];
      for (let page = pages[0]!; page.nextPageToken !== ''; ) {
        await between(page);
        page = await list({ ...request, pageToken: page.nextPageToken });
        pages.push(page);
      }
      return pages;
    },
  };
}

/** Name of the peer or group. */
export function nameOf({ conversation }: ConversationTold): string {
  return conversation.value ?? '';
}

/** Columns of a row, the others as the schema has them. */
export type Row = Readonly<Record<string, Value>>;

/** Inserts rows as they are, all with the columns of the first. */
export function addRows(database: Database, name: string, rows: readonly Row[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {});
  const values = rows.map((row) => columns.map((column) => row[column]!));
  return database.run((session) =>
    session.insert({ name, columns, key: columns }, values, 'refuse'),
  );
}

/** Conversations that have `lastSeq` messages by their rows alone: none of them is stored. */
export function addConversations(
  database: Database,
  conversations: readonly Conversation[],
  lastSeq: number,
  others: Row = {},
): Promise<void> {
  const rows = conversations.map((conversation): Row => {
    const [name_a, name_b] = nameColumns(conversation);
    return {
      ...{ conversation_id: conversation.id, kind: KIND[conversation.kind], name_a, name_b },
      ...{ last_seq: lastSeq, floor_seq: 1, revision: 0, last_sent_at_ms: lastSeq },
      ...others,
    };
  });
  return addRows(database, 'conversation', rows);
}

/** A user in conversations, by both rows of each. */
export async function addMember(
  database: Database,
  conversations: readonly Conversation[],
  user: string,
  others: Row = {},
): Promise<void> {
  const keys = conversations.map(({ id }) => ({
    user_name: Buffer.from(user),
    conversation_id: id,
  }));
  await addRows(database, 'membership', keys);
  const rows = keys.map((key) => ({ ...key, ...others }));
  await addRows(database, 'member', rows);
}
