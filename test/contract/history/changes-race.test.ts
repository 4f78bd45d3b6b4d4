import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DeleteScope } from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import { Random } from '../../support/random.ts';
import { methodsOf } from './calls.ts';
import { Device } from './device.ts';
import { databases, migrated } from './engines.ts';

const USERS = ['alice', 'bob', 'carol', 'dave'];
const SEQS = 24;

/** A change that was answered: what it made of which message. */
interface Done {
  readonly revision: number;
  readonly seq: number;
  /** Absent where it did not change the text; undefined where it deleted the message. */
  readonly text?: string | undefined;
}

describe.each(databases)('changes at once, through two replicas: %s', (_name, make) => {
  const conversation = { case: 'group', value: 'room' } as const;
  let stack: AsyncDisposableStack;
  let replicas: ReturnType<typeof methodsOf>[];

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    const url = await make(stack);
    const first = await migrated(stack, url);
    // An embedded database has one service: the calls at once are all its own.
    const second = first.embedded ? first : await migrated(stack, url);
    replicas = [methodsOf(first), methodsOf(second)];
    await replicas[0]!.append({
      conversation,
      messages: Array.from({ length: SEQS }, (_, n) => ({ sender: senderOf(n + 1) })),
    });
  });
  afterEach(() => stack.disposeAsync());

  it('loses no change, and numbers them without holes', async () => {
    const random = new Random(20_261_122);
    const devices = USERS.map((user, n) => new Device(replicas[n % 2]!, user, 'room'));
    const done: Done[] = [];
    const writers = USERS.flatMap((user) =>
      replicas.map(async (methods, replica) => {
        const draws = random.fork();
        for (let n = 0; n < 20; n++) {
          const own = SEQS / USERS.length;
          const seq = USERS.indexOf(user) + 1 + USERS.length * draws.between(0, own - 1);
          const change = await makeChange(methods, draws, user, seq, `${user} ${replica} ${n}`);
          if (change) done.push(change);
        }
      }),
    );
    const readers = devices.map(async (device) => {
      for (let n = 0; n < 10; n++) await device.refresh();
    });
    await Promise.all([...writers, ...readers]);

    const revisions = done.map(({ revision }) => revision).sort((a, b) => a - b);
    expect(revisions).toEqual(revisions.map((_, index) => index + 1));
    expect(revisions.length).toBeGreaterThan(USERS.length * 10);
    const { messages, result } = await replicas[1]!.sync({ conversation, count: 1_000 });
    expect(result.revision).toBe(BigInt(revisions.length));
    for (const message of messages.filter(({ seq }) => seq <= SEQS)) {
      const changes = done.filter(
        (change) => 'text' in change && change.seq === Number(message.seq),
      );
      const last = changes.sort((a, b) => a.revision - b.revision).at(-1);
      expect(message.revision).toBe(BigInt(last?.revision ?? 0));
      expect(message.content?.text).toBe(last ? last.text : '');
    }
    for (const [n, device] of devices.entries()) {
      await device.refresh();
      const page = { user: USERS[n]!, conversation, count: 1_000 };
      const { messages } = await replicas[0]!.sync(page);
      expect(device.messages).toEqual(messages.reverse());
    }
  });

  /** One random change; undefined where there was nothing to change any more. */
  async function makeChange(
    methods: ReturnType<typeof methodsOf>,
    draws: Random,
    user: string,
    seq: number,
    text: string,
  ): Promise<Done | undefined> {
    const request = { user, conversation };
    if (draws.oneIn(4)) {
      await methods.append({ ...request, messages: [{ content: { text } }] });
      return undefined;
    }
    if (draws.oneIn(6)) {
      const forMe = draws.oneIn(2);
      const scope = forMe ? DeleteScope.FOR_ME : DeleteScope.FOR_EVERYONE;
      const answer = await methods.delete({ ...request, scope, seqs: [BigInt(seq)] });
      if (answer.deleted === 0n) return undefined;
      const revision = Number(answer.revision);
      return forMe ? { revision, seq } : { revision, seq, text: undefined };
    }
    const message = { case: 'seq', value: BigInt(seq) } as const;
    try {
      const answer = await methods.edit({ ...request, message, content: { text } });
      return { revision: Number(answer.revision), seq, text };
    } catch (error) {
      expect(error).toHaveProperty(
        'reason',
        expect.stringMatching(/^MESSAGE_(DELETED|NOT_FOUND)$/),
      );
      return undefined;
    }
  }
});

function senderOf(seq: number): string {
  return USERS[(seq - 1) % USERS.length]!;
}
