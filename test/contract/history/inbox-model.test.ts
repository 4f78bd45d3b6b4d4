import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { DeleteScope } from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import { CallKind, CallOutcome } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { JoinedAppends } from '../../../services/history/domain/joined-appends.ts';
import { append } from '../../../services/history/store/append.ts';
import { importRuns, methodsOf } from './calls.ts';
import { engines, opened } from './engines.ts';
import { inboxMethods } from './inbox.ts';

const BEGAN_MS = 1_000_000;
const LIFE_MS = 1_000;
const HOLDS = ['text', 'missed', 'answered', 'brief'] as const;

type Step =
  | { what: 'say' | 'import'; first: boolean; holds: (typeof HOLDS)[number] }
  | { what: 'read' | 'hide' | 'clear' | 'delete'; first: boolean; seq: number }
  | { what: 'wait' };

const first = fc.boolean();
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        what: fc.constantFrom('say', 'say', 'import'),
        first,
        holds: fc.constantFrom(...HOLDS),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        what: fc.constantFrom('read', 'hide', 'clear', 'delete'),
        first,
        seq: fc.integer({ min: 1, max: 20 }),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ what: 'wait' as const }) },
  ),
  { minLength: 5, maxLength: 25 },
);

describe.each(engines)('an inbox over random pasts: %s', (_name, open) => {
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
  });

  it('counts and shows what somebody with paper and pencil would', async () => {
    let made = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (past) => {
        const chat = new Chat(context, [`a ${made}`, `b ${made++}`]);
        for (const step of past) await chat.take(step);
        for (const user of chat.users) {
          expect(await chat.told(user)).toEqual(chat.expected(user));
        }
      }),
      { numRuns: 40 },
    );
  });
});

/** A message on paper. */
interface Noted {
  readonly sender: string;
  readonly quiet: boolean;
  readonly expiresAtMs: number;
  deleted: boolean;
  readonly hiddenFrom: Set<string>;
}

/** Two users who speak, and what they would note of it. */
class Chat {
  readonly users: readonly [string, string];
  readonly #context: HistoryContext;
  readonly #noted: Noted[] = [];
  readonly #read = new Map<string, number>();
  #nowMs = BEGAN_MS;

  constructor(context: HistoryContext, users: readonly [string, string]) {
    this.#context = context;
    this.users = users;
  }

  async take(step: Step): Promise<void> {
    if (step.what === 'wait') {
      this.#nowMs += LIFE_MS;
      return;
    }
    const user = this.users[step.first ? 0 : 1];
    if ('holds' in step) await this.#add(user, step.holds, step.what === 'import');
    else await this.#change(user, step.what, step.seq);
  }

  async #add(sender: string, holds: (typeof HOLDS)[number], imported: boolean): Promise<void> {
    const outcome = holds === 'missed' ? CallOutcome.MISSED : CallOutcome.ANSWERED;
    const isCall = holds === 'missed' || holds === 'answered';
    const expiresAtMs = holds === 'brief' ? this.#nowMs + LIFE_MS : 0;
    const message = {
      ...{ id: `${this.#noted.length}`, sender, sentAtMs: BigInt(this.#nowMs) },
      expiresAtMs: BigInt(expiresAtMs),
      content: isCall ? { call: { kind: CallKind.VOICE, outcome } } : { text: holds },
    };
    const { conversation } = this.#of(sender);
    if (imported) {
      await importRuns(this.#parts(), [{ user: sender, conversation, messages: [message] }]);
    } else {
      await methodsOf(this.#parts()).append({ user: sender, conversation, messages: [message] });
    }
    const quiet = imported || holds === 'answered';
    this.#noted.push({ sender, quiet, expiresAtMs, deleted: false, hiddenFrom: new Set() });
    if (!imported) this.#raise(sender, this.#noted.length);
  }

  async #change(
    user: string,
    what: 'read' | 'hide' | 'clear' | 'delete',
    seq: number,
  ): Promise<void> {
    const methods = methodsOf(this.#parts());
    const seqs = [BigInt(seq)];
    const message = this.#noted[seq - 1];
    if (what === 'read') {
      await inboxMethods(this.#parts()).markRead({ ...this.#of(user), seq: BigInt(seq) });
      this.#raise(user, Math.min(seq, this.#noted.length));
    } else if (what === 'hide') {
      const scope = DeleteScope.FOR_ME;
      await methods.delete({ ...this.#of(user), scope, seqs });
      if (message && this.#isSeen(message, user)) message.hiddenFrom.add(user);
    } else if (what === 'clear') {
      const scope = DeleteScope.FOR_ME;
      await methods.delete({ ...this.#of(user), scope, upToSeq: BigInt(seq) });
      for (const one of this.#noted.slice(0, seq)) one.hiddenFrom.add(user);
    } else if (message && this.#isSeen(message, message.sender)) {
      const scope = DeleteScope.FOR_EVERYONE;
      await methods.delete({ ...this.#of(message.sender), scope, seqs });
      message.deleted = true;
    }
  }

  /** What the inbox says. */
  async told(user: string): Promise<object[]> {
    const { conversations } = await inboxMethods(this.#parts()).list({ user });
    return conversations.map(({ lastMessage, unreadCount, marks, lastSeq }) => ({
      unread: unreadCount,
      last: lastMessage && { seq: lastMessage.seq, deleted: lastMessage.deletedAtMs > 0n },
      ...{ read: marks?.readSeq, lastSeq },
    }));
  }

  /** What it should say. */
  expected(user: string): object[] {
    if (this.#noted.length === 0) return [];
    const read = this.#read.get(user) ?? 0;
    const seen = this.#noted.map((message) => this.#isSeen(message, user));
    const unread = this.#noted.filter(
      ({ quiet, deleted }, n) => n >= read && seen[n] && !quiet && !deleted,
    );
    const last = seen.lastIndexOf(true);
    return [
      {
        unread: unread.length,
        last: last < 0 ? undefined : { seq: BigInt(last + 1), deleted: this.#noted[last]!.deleted },
        ...{ read: BigInt(read), lastSeq: BigInt(this.#noted.length) },
      },
    ];
  }

  #isSeen({ hiddenFrom, expiresAtMs }: Noted, user: string): boolean {
    return !hiddenFrom.has(user) && (expiresAtMs === 0 || expiresAtMs > this.#nowMs);
  }

  #raise(user: string, seq: number): void {
    this.#read.set(user, Math.max(seq, this.#read.get(user) ?? 0));
  }

  #of(user: string) {
    const peer = this.users.find((name) => name !== user)!;
    return { user, conversation: { case: 'peer', value: peer } } as const;
  }

  #parts() {
    const { database, retentionMs } = this.#context;
    const nowMs = () => this.#nowMs;
    const appends = new JoinedAppends((conversation, batches, senders) =>
      append(database, conversation, batches, { senders, nowMs }),
    );
    return { database, retentionMs, nowMs, appends };
  }
}
