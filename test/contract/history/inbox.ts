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
import { callAs } from './calls.ts';

/** The methods of inbox and read state, called as over the wire, by a service where nothing else is said. */
export function inboxMethods(
  context: Pick<HistoryContext, 'database' | 'nowMs'>,
  call: CallContext = callAs(),
) {
  const list = (request: MessageInitShape<typeof ListConversationsRequestSchema>) =>
    listConversations(context, create(ListConversationsRequestSchema, request), call);
  /** All pages; `between` runs after each that is not the last. */
  async function pages(
    request: MessageInitShape<typeof ListConversationsRequestSchema>,
    between: (page: ListConversationsResponse) => Promise<void> = async () => {},
  ): Promise<ListConversationsResponse[]> {
    const all = [await list(request)];
    for (let page = all[0]!; page.nextPageToken !== ''; ) {
      await between(page);
      page = await list({ ...request, pageToken: page.nextPageToken });
      all.push(page);
    }
    return all;
  }
  return {
    list,
    pages,
    /** The names of all conversations, page by page. */
    async names(request: MessageInitShape<typeof ListConversationsRequestSchema>) {
      return (await pages(request)).map(({ conversations }) => conversations.map(nameOf));
    },
    markRead: (request: MessageInitShape<typeof MarkReadRequestSchema>) =>
      markRead(context, create(MarkReadRequestSchema, request), call),
    markDelivered: (request: MessageInitShape<typeof MarkDeliveredRequestSchema>) =>
      markDelivered(context, create(MarkDeliveredRequestSchema, request), call),
  };
}

/** Name of the peer or group. */
export function nameOf({ conversation }: ConversationTold): string {
  return conversation.value ?? '';
}
