import { beforeEach, describe, expect, it } from 'vitest';
import { DeleteScope } from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import { CallKind, CallOutcome } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group } from '../../../services/history/domain/conversation.ts';
import type { Database } from '../../../services/history/store/database.ts';
import { BreakingDatabase, Died } from './breaking-database.ts';
import { methodsOf } from './calls.ts';
import { engines, opened } from './engines.ts';
import { rowsOf } from './raw-rows.ts';

/** Tables that a change of a message writes to. */
const TABLES = ['message', 'thread', 'quiet', 'hidden', 'change_log'];

type Methods = ReturnType<typeof methodsOf>;
type Conversation = { readonly case: 'group'; readonly value: string };

describe.each(engines)('a change during which the service dies: %s', (_name, open) => {
  const call = { kind: CallKind.VIDEO, outcome: CallOutcome.ANSWERED };
  const changes: Record<
    string,
    (methods: Methods, conversation: Conversation) => Promise<unknown>
  > = {
    edit: (methods, conversation) =>
      methods.edit({
        ...{ user: 'alice', conversation, message: { case: 'seq', value: 1n } },
        content: { text: 'after', thread: 'two', call },
      }),
    'deletion for everyone': (methods, conversation) =>
      methods.delete({ conversation, scope: DeleteScope.FOR_EVERYONE, seqs: [1n, 2n] }),
    'deletion for one user': (methods, conversation) =>
      methods.delete({
        ...{ user: 'alice', conversation, scope: DeleteScope.FOR_ME, seqs: [1n, 2n] },
      }),
  };
  let context: HistoryContext;
  let methods: Methods;

  beforeEach(async () => {
    context = await opened(open);
    methods = methodsOn(context.database);
  });

  async function begin(value: string): Promise<Conversation> {
    const conversation = { case: 'group', value } as const;
    const content = { text: 'before', thread: 'one' };
    const messages = ['a', 'b'].map((id) => ({ id, sender: 'alice', sentAtMs: 5n, content }));
    await methods.append({ conversation, messages });
    return conversation;
  }

  /** One moment for all, so that rows can be compared. */
  function methodsOn(database: Database): Methods {
    return methodsOf({ ...context, database, nowMs: () => 1_000 });
  }

  /** What stands of a conversation, its id apart. */
  async function stateOf(conversation: Conversation) {
    const { id } = group(conversation.value);
    const rows = await Promise.all(TABLES.map((table) => rowsOf(context.database, table, id)));
    const { result } = await methods.sync({ conversation });
    return [result.revision, ...rows.map((table) => table.map(([, ...columns]) => columns))];
  }

  it.each(Object.entries(changes))('happened or did not: %s', async (name, change) => {
    const done = await begin(`${name}, done`);
    const before = await stateOf(done);
    await change(methods, done);
    const after = await stateOf(done);
    let died = 0;
    for (; ; died++) {
      const conversation = await begin(`${name}, ${died}`);
      const dying = methodsOn(new BreakingDatabase(context.database, died));
      try {
        await change(dying, conversation);
        break;
      } catch (error) {
        if (!(error instanceof Died)) throw error;
      }
      const state = await stateOf(conversation);
      expect([before, after]).toContainEqual(state);
      await change(methods, conversation);
      expect(await stateOf(conversation)).toEqual(after);
    }
    expect(died).toBeGreaterThan(3);
  });
});
