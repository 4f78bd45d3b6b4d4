import { create, type DescMessage, type DescMethod, type MessageShape } from '@bufbuild/protobuf';
import {
  Metadata,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type ChangesRequest,
  type ChangesResponse,
  ChangesResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import { DirectoryService } from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { HistoryService } from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import {
  type ListConversationsRequest,
  type ListConversationsResponse,
  ListConversationsResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import { DirectoryClient } from '../../../clients/history/directory-client.ts';
import { HistoryClient } from '../../../clients/history/history-client.ts';
import { serve } from './fake-server.ts';

let used = new AsyncDisposableStack();
afterEach(async () => {
  await used.disposeAsync();
  used = new AsyncDisposableStack();
});

type Changing = ServerWritableStream<ChangesRequest, ChangesResponse>;
type Unary = ServerUnaryCall<MessageShape<DescMessage>, MessageShape<DescMessage>>;

async function historyOf(handlers: Parameters<typeof serve>[1]) {
  const server = used.use(await serve(HistoryService, handlers));
  return used.use(new HistoryClient(server.address));
}

describe('changes', () => {
  const frame = (fields: Parameters<typeof create<typeof ChangesResponseSchema>>[1]) =>
    create(ChangesResponseSchema, fields);

  it('come frame by frame, or at once', async () => {
    const client = await historyOf({
      changes: (call: Changing) => {
        expect(call.request).toMatchObject({ user: 'bob', sinceRevision: 7n });
        call.write(frame({ messages: [{ seq: 1n }, { seq: 2n }] }));
        call.write(frame({ hiddenSeqs: [3n] }));
        call.write(frame({ messages: [{ seq: 4n }], result: { revision: 9n } }));
        call.end();
      },
    });
    const request = { user: 'bob', peer: 'alice', sinceRevision: 7 };
    const stream = client.changes(request);
    const sizes: number[][] = [];
    for await (const { messages, hiddenSeqs } of stream.frames()) {
      sizes.push([messages.length, hiddenSeqs.length]);
    }
    expect(sizes).toEqual([
      [2, 0],
      [0, 1],
      [1, 0],
    ]);
    expect((await stream.result).revision).toBe(9n);
    const all = await client.changes(request).collect();
    expect(all.messages.map(({ seq }) => seq)).toEqual([1n, 2n, 4n]);
    expect(all.hiddenSeqs).toEqual([3n]);
  });

  it('that end before their result were cut off', async () => {
    const client = await historyOf({
      changes: (call: Changing) => {
        call.write(frame({ messages: [{ seq: 1n }] }));
        call.end();
      },
    });
    const stream = client.changes({ group: 'g', sinceRevision: 0 });
    const cutOff = { code: status.UNAVAILABLE, reason: 'CUT_OFF' };
    await expect(stream.collect()).rejects.toMatchObject(cutOff);
    await expect(stream.result).rejects.toMatchObject(cutOff);
  });

  it('that are left have no result', async () => {
    const client = await historyOf({
      changes: (call: Changing) => void call.write(frame({ hiddenSeqs: [1n] })),
    });
    const stream = client.changes({ group: 'g', sinceRevision: 0 });
    for await (const _ of stream.frames()) break;
    await expect(stream.result).rejects.toMatchObject({ reason: 'CANCELLED' });
  });
});

describe('an inbox', () => {
  const chat = (peer: string, lastSeq: bigint) => ({
    ...{ conversation: { case: 'peer', value: peer } as const, lastSeq },
  });
  const PAGES = [
    { conversations: [chat('a', 1n), chat('b', 1n)], nextPageToken: '1', userRevision: 5n },
    { conversations: [chat('c', 1n)], nextPageToken: '2', userRevision: 5n },
    { conversations: [chat('b', 2n)], nextPageToken: '', userRevision: 5n },
  ];
  const asked: ListConversationsRequest[] = [];
  const serving = () =>
    historyOf({
      listConversations: (
        call: ServerUnaryCall<ListConversationsRequest, ListConversationsResponse>,
        respond: sendUnaryData<ListConversationsResponse>,
      ) => {
        asked.push(call.request);
        const page = PAGES[Number(call.request.pageToken || '0')];
        respond(null, create(ListConversationsResponseSchema, page));
      },
    });

  it('is asked for page by page, as it is read', async () => {
    const client = await serving();
    asked.length = 0;
    const seen: unknown[] = [];
    const inbox = client.inbox({ user: 'me', pageSize: 2, sinceUserRevision: 3 });
    for await (const { conversation, lastSeq } of inbox) {
      seen.push(`${conversation.value}${lastSeq}`);
      if (conversation.value === 'b' && lastSeq === 1n) expect(asked).toHaveLength(1);
    }
    expect(seen).toEqual(['a1', 'b1', 'c1', 'b2']);
    expect(asked.map(({ pageToken }) => pageToken)).toEqual(['', '1', '2']);
    for (const request of asked) {
      expect(request).toMatchObject({ user: 'me', pageSize: 2, sinceUserRevision: 3n });
    }
  });

  it('that is collected has every conversation once, as it was given last', async () => {
    const client = await serving();
    const { conversations, userRevision } = await client.inbox({ user: 'me' }).collect();
    const told = conversations.map(({ conversation, lastSeq }) => [conversation.value, lastSeq]);
    expect(told).toEqual([
      ['a', 1n],
      ['b', 2n],
      ['c', 1n],
    ]);
    expect(userRevision).toBe(5n);
  });
});

describe('what was UNAVAILABLE is sent again as it was', () => {
  /** Every method of a service fails once, and then answers with nothing but defaults. */
  async function failingOnce(desc: typeof HistoryService | typeof DirectoryService) {
    const requests: unknown[] = [];
    const handler = ({ output }: DescMethod) => {
      let tries = 0;
      return (call: Unary, respond: sendUnaryData<MessageShape<DescMessage>>) => {
        requests.push(call.request);
        tries += 1;
        const error = { code: status.UNAVAILABLE, details: 'away', metadata: new Metadata() };
        if (tries === 1) respond(error);
        else respond(null, create(output));
      };
    };
    const unary = Object.entries<DescMethod>(desc.method).filter(
      ([, { methodKind }]) => methodKind === 'unary',
    );
    const handlers = Object.fromEntries(unary.map(([name, method]) => [name, handler(method)]));
    const { address } = used.use(await serve(desc, handlers));
    return { address, requests };
  }

  const pair = { user: 'a', peer: 'b' };
  const HISTORY: Readonly<Record<string, (client: HistoryClient) => Promise<unknown>>> = {
    edit: (client) => client.edit({ ...pair, seq: 1, content: { text: 'x' }, expectedRevision: 0 }),
    delete: (client) => client.delete({ ...pair, scope: 'for-everyone', seqs: [1, 2] }),
    markRead: (client) => client.markRead({ ...pair, seq: 1 }),
    markDelivered: (client) => client.markDelivered({ ...pair, seq: 1 }),
    inbox: (client) => client.inbox({ user: 'a' }).collect(),
  };
  const group = { group: 'g', user: 'a' };
  const DIRECTORY: Readonly<Record<string, (client: DirectoryClient) => Promise<unknown>>> = {
    createGroup: (client) => client.createGroup({ ...group, members: [{ user: 'b' }] }),
    getGroup: (client) => client.getGroup(group),
    updateGroup: (client) => client.updateGroup({ ...group, title: '' }),
    deleteGroup: (client) => client.deleteGroup(group),
    addMembers: (client) => client.addMembers({ ...group, members: [{ user: 'b', role: 2 }] }),
    removeMembers: (client) => client.removeMembers({ ...group, members: ['b'] }),
    setRole: (client) => client.setRole({ ...group, member: 'b', role: 1 }),
    members: (client) => Array.fromAsync(client.members({ ...group, pageSize: 3 })),
    putProfiles: (client) => client.putProfiles([{ user: 'a', attributes: { k: 'v' } }]),
    getProfiles: (client) => client.getProfiles(['a', 'b'], { changedSinceMs: 5 }),
    eraseUser: (client) => client.eraseUser('a'),
  };

  it.each(Object.entries(HISTORY))('HistoryClient.%s', async (_, call) => {
    const { address, requests } = await failingOnce(HistoryService);
    await call(used.use(new HistoryClient(address)));
    expect(requests).toHaveLength(2);
    expect(requests[1]).toEqual(requests[0]);
  });

  it.each(Object.entries(DIRECTORY))('DirectoryClient.%s', async (_, call) => {
    const { address, requests } = await failingOnce(DirectoryService);
    await call(used.use(new DirectoryClient(address)));
    expect(requests).toHaveLength(2);
    expect(requests[1]).toEqual(requests[0]);
  });
});
