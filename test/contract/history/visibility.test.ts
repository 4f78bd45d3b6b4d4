import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { DeleteScope } from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import {
  HistoryVisibility,
  Role,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { MemberState } from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import { ServiceError } from '../../../services/common/errors.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { callAs, methodsOf } from './calls.ts';
import { actorsIn, notAMember } from './directory.ts';
import { engines, opened } from './engines.ts';
import { inboxMethods, nameOf } from './inbox.ts';

const { ALL, LAST, FROM_JOINING } = HistoryVisibility;
const USERS = ['a', 'b', 'c', 'd'] as const;

/** What happens in a group; the names tell who it happens to. */
type Step =
  | { readonly what: 'join' | 'leave' | 'removed' | 'promoted'; readonly user: string }
  | { readonly what: 'say'; readonly user: string; readonly texts: number }
  | { readonly what: 'visibility'; readonly value: HistoryVisibility; readonly last: number };

const user = fc.constantFrom(...USERS);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ what: fc.constant('join' as const), user }) },
    {
      weight: 3,
      arbitrary: fc.record({ what: fc.constantFrom('leave', 'removed', 'promoted'), user }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        what: fc.constant('say' as const),
        user: fc.constantFrom('owner', ...USERS),
        texts: fc.integer({ min: 1, max: 4 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        what: fc.constant('visibility' as const),
        value: fc.constantFrom(ALL, LAST, FROM_JOINING),
        last: fc.integer({ min: 1, max: 5 }),
      }),
    },
  ),
  { minLength: 15, maxLength: 40 },
);

/** A group as somebody with paper and pencil would keep it: for each message, who may see it. */
class NaiveGroup {
  readonly texts: string[] = [];
  readonly #seen = new Map<string, Set<number>>();
  readonly #members = new Set<string>();
  readonly #epochs = new Map<string, number>();
  #visible = Number.POSITIVE_INFINITY;

  isMember(user: string): boolean {
    return this.#members.has(user);
  }

  wasMember(user: string): boolean {
    return this.#seen.has(user);
  }

  join(user: string): void {
    if (this.#members.has(user)) return;
    this.#members.add(user);
    this.#count(user);
    const seen = this.#seen.get(user) ?? new Set();
    const first = Math.max(1, this.texts.length - this.#visible + 1);
    for (let seq = first; seq <= this.texts.length; seq++) seen.add(seq);
    this.#seen.set(user, seen);
  }

  leave(user: string): void {
    if (this.#members.delete(user)) this.#count(user);
  }

  say(text: string): void {
    this.texts.push(text);
    for (const member of this.#members) this.#seen.get(member)!.add(this.texts.length);
  }

  show(visible: number): void {
    this.#visible = visible;
  }

  /** What a user sees now. */
  view(user: string) {
    const seqs = [...(this.#seen.get(user) ?? [])].sort((a, b) => a - b);
    const lastSeq = this.isMember(user) ? this.texts.length : (seqs.at(-1) ?? 0);
    return {
      texts: seqs.map((seq) => this.texts[seq - 1]),
      seqs: seqs.map(BigInt),
      lastSeq: BigInt(lastSeq),
      epoch: BigInt(this.#epochs.get(user) ?? 0),
    };
  }

  #count(user: string): void {
    this.#epochs.set(user, (this.#epochs.get(user) ?? 0) + 1);
  }
}

describe.each(engines)('who sees what: %s', (_name, open) => {
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
  });

  it('is what a naive model says, whatever happens', async () => {
    let made = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (happening) => {
        const name = `room ${made++}`;
        const as = actorsIn(context, name);
        const expectSeen = async (user: string) => {
          await expectView(as, model, user);
          await expectEntry(context, name, model, user);
        };
        await as('owner').create();
        const model = new NaiveGroup();
        model.join('owner');
        for (const step of happening) {
          await play(as, model, step);
          if (step.what === 'say' || step.what === 'visibility') continue;
          await expectSeen(step.user);
        }
        for (const user of ['owner', ...USERS]) await expectSeen(user);
        expect((await as().read()).texts).toEqual(model.texts);
        const members = ['owner', ...USERS].filter((name) => model.isMember(name));
        const { group } = await as('owner').get();
        expect(group?.memberCount).toBe(members.length);
        expect((await as('owner').list()).members.map(({ user }) => user)).toEqual(members.sort());
      }),
      { numRuns: 25 },
    );
  });

  it('is for newcomers what the group shows them of what was said before', async () => {
    const as = actorsIn(context, 'room');
    await as('owner').create({ historyVisibility: LAST, visibleMessages: 2n });
    await as('owner').say('owner', 'one', 'two', 'three');
    const change = (visibility: HistoryVisibility, visibleMessages = 0n) =>
      as('owner').update({ historyVisibility: visibility, visibleMessages });
    await as('owner').add('a');
    await change(LAST, 3n);
    await as('owner').add('b');
    await change(LAST, 1_000_000n);
    await as('owner').add('c');
    await change(FROM_JOINING);
    await as('owner').add('d');
    await change(ALL);
    await as('owner').add('e');
    await as('owner').say('owner', 'four');
    const all = ['one', 'two', 'three', 'four'];
    const expected = { a: all.slice(1), b: all, c: all, d: ['four'], e: all };
    for (const [user, texts] of Object.entries(expected)) {
      const page = await as(user).read();
      expect(page.texts).toEqual(texts);
      expect(page.result).toMatchObject({ lastSeq: 4n, floorSeq: BigInt(5 - texts.length) });
    }
  });

  it('is nothing at all for others, whether there is a group or not', async () => {
    await actorsIn(context, 'deleted')('owner').create({ title: 'x' });
    await actorsIn(context, 'deleted')('owner').delete();
    await actorsIn(context, 'created')('owner').create({ title: 'x', members: [{ user: 'bob' }] });
    await actorsIn(context, 'created')('owner').say('owner', 'secret');
    await actorsIn(context, 'appended')().say('owner', 'secret');
    const told = await Promise.all(
      ['created', 'appended', 'deleted', 'never'].map((name) => errorsFor(context, name)),
    );
    for (const errors of told) expect(errors).toEqual(told[0]);
    expect(new Set(told.flat())).toHaveLength(1);
    expect(told.flat()[0]).toContain('NOT_A_MEMBER');
    const { conversations } = await inboxMethods(context, callAs('eve')).list({ user: 'eve' });
    expect(conversations).toEqual([]);
  });
});

type Actors = ReturnType<typeof actorsIn>;

async function play(as: Actors, model: NaiveGroup, step: Step): Promise<void> {
  switch (step.what) {
    case 'join':
      model.join(step.user);
      await as('owner').add(step.user);
      return;
    case 'leave':
      if (model.wasMember(step.user)) await as(step.user).remove(step.user);
      else await expect(as(step.user).remove(step.user)).rejects.toMatchObject(notAMember);
      model.leave(step.user);
      return;
    case 'removed':
      await as('owner').remove(step.user);
      model.leave(step.user);
      return;
    case 'promoted':
      if (model.isMember(step.user)) await as('owner').setRole(step.user, Role.MODERATOR);
      return;
    case 'visibility': {
      const last = { historyVisibility: LAST, visibleMessages: BigInt(step.last) };
      await as('owner').update(step.value === LAST ? last : { historyVisibility: step.value });
      const others = step.value === ALL ? Number.POSITIVE_INFINITY : 0;
      model.show(step.value === LAST ? step.last : others);
      return;
    }
    case 'say': {
      const texts = Array.from({ length: step.texts }, (_, n) => `${model.texts.length + n}`);
      const saying = as(step.user).say(step.user, ...texts);
      if (!model.isMember(step.user)) {
        await expect(saying).rejects.toMatchObject(notAMember);
        return;
      }
      await saying;
      for (const text of texts) model.say(text);
    }
  }
}

async function expectView(as: Actors, model: NaiveGroup, user: string): Promise<void> {
  if (!model.wasMember(user)) {
    await expect(as(user).read()).rejects.toMatchObject(notAMember);
    return;
  }
  const { texts, messages, result } = await as(user).read();
  const expected = model.view(user);
  expect({ texts, seqs: messages.map(({ seq }) => seq) }).toEqual({
    texts: expected.texts,
    seqs: expected.seqs,
  });
  const { lastSeq, epoch } = expected;
  expect(result).toMatchObject({ lastSeq, epoch, reachedOldest: true, reachedNewest: true });
  expect(result.count).toBe(BigInt(texts.length));
  // What is below the floor this user never saw; at it stands their first message, or would.
  if (texts.length > 0) expect(result.floorSeq).toBe(expected.seqs[0]);
  expect(result.marks?.readSeq).toBeLessThanOrEqual(lastSeq);
}

/** What the inbox shows of the group. */
async function expectEntry(
  context: HistoryContext,
  name: string,
  model: NaiveGroup,
  user: string,
): Promise<void> {
  const inbox = inboxMethods(context, callAs(user));
  const { conversations } = await inbox.list({ user, pageSize: 1_000 });
  const entry = conversations.find((conversation) => nameOf(conversation) === name);
  if (!model.wasMember(user)) {
    expect(entry).toBeUndefined();
    return;
  }
  const { texts, lastSeq, epoch } = model.view(user);
  const { MEMBER, FORMER } = MemberState;
  expect(entry).toMatchObject({ lastSeq, epoch, state: model.isMember(user) ? MEMBER : FORMER });
  expect(entry?.lastMessage?.content?.text).toBe(texts.at(-1));
}

/** All that somebody from outside is told who tries everything, as text. */
async function errorsFor(context: HistoryContext, name: string): Promise<string[]> {
  const as = actorsIn(context, name)('eve');
  const history = methodsOf(context, callAs('eve'));
  const inbox = inboxMethods(context, callAs('eve'));
  const address = { user: 'eve', conversation: { case: 'group', value: name } } as const;
  const tries: (() => Promise<unknown>)[] = [
    () => as.read(),
    () => as.say('eve', 'hi'),
    () => as.get(),
    () => as.list(),
    () => as.update({ title: 'y' }),
    () => as.add('eve'),
    () => as.remove('eve'),
    () => as.remove('bob'),
    () => as.setRole('bob', Role.OWNER),
    () => as.setRole('eve', Role.MEMBER),
    () => as.delete(),
    () => history.sync({ ...address, anchor: { case: 'aroundMessageId', value: 'x' } }),
    () => history.changes(address),
    () => history.edit({ ...address, message: { case: 'seq', value: 1n }, content: { text: 'x' } }),
    () => inbox.markRead({ ...address, seq: 1n }),
    () => inbox.markDelivered({ ...address, seq: 1n }),
    () => history.delete({ ...address, scope: DeleteScope.FOR_EVERYONE, seqs: [1n] }),
  ];
  const errors: string[] = [];
  for (const attempt of tries) {
    const error = await attempt().then(
      () => undefined,
      (error: unknown) => error,
    );
    if (!(error instanceof ServiceError)) throw new Error('it was let in', { cause: error });
    const { code, reason, message, fields, metadata } = error;
    errors.push(JSON.stringify({ code, reason, message, fields, metadata }));
  }
  return errors;
}
