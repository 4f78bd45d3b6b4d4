import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { DeleteScope } from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import type { Message } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group } from '../../../services/history/domain/conversation.ts';
import { methodsOf } from './calls.ts';
import { Device } from './device.ts';
import { engines, opened } from './engines.ts';
import { setMember } from './raw-rows.ts';

const USERS = ['alice', 'bob', 'carol'] as const;
const MODERATOR = 'carol';
const SEQS = 12;

type User = (typeof USERS)[number];

type Step = { readonly user: User } & (
  | { readonly what: 'append' }
  | { readonly what: 'refresh' }
  | { readonly what: 'edit'; readonly seq: number; readonly text: string }
  | { readonly what: 'delete'; readonly seqs: readonly number[] }
  | { readonly what: 'hide'; readonly seqs: readonly number[] }
  | { readonly what: 'deleteUpTo'; readonly seq: number }
  | { readonly what: 'hideUpTo'; readonly seq: number }
);

const user = fc.constantFrom(...USERS);
const seq = fc.integer({ min: 1, max: SEQS });
const seqs = fc.array(seq, { minLength: 1, maxLength: 4 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ what: fc.constantFrom('append' as const, 'refresh' as const), user }),
  fc.record({ what: fc.constant('edit' as const), user, seq, text: fc.constantFrom('x', 'y', '') }),
  fc.record({ what: fc.constantFrom('delete' as const, 'hide' as const), user, seqs }),
  fc.record({ what: fc.constantFrom('deleteUpTo' as const, 'hideUpTo' as const), user, seq }),
);

/** A conversation as a list. */
class Model {
  readonly messages: { seq: number; sender: User; text?: string; revision: number }[] = [];
  revision = 0;
  readonly #hidden = new Map(USERS.map((user) => [user, new Set<number>()]));

  append(sender: User): void {
    this.messages.push({ seq: this.messages.length + 1, sender, text: 'said', revision: 0 });
  }

  /** What a user sees. */
  seenBy(user: User) {
    return this.messages.filter(({ seq }) => !this.#hidden.get(user)!.has(seq));
  }

  edit(user: User, seq: number, text: string): string | undefined {
    const message = this.seenBy(user).find((message) => message.seq === seq);
    if (!message) return 'MESSAGE_NOT_FOUND';
    if (message.sender !== user) return 'NOT_THE_SENDER';
    if (message.text === undefined) return 'MESSAGE_DELETED';
    if (message.text !== text) Object.assign(message, { text, revision: ++this.revision });
    return undefined;
  }

  delete(user: User, seqs: readonly number[], which: 'all' | 'own'): string | undefined {
    const asked = this.seenBy(user).filter(({ seq }) => seqs.includes(seq));
    const own = asked.filter(({ sender }) => sender === user || user === MODERATOR);
    if (which === 'all' && own.length < asked.length) return 'NOT_THE_SENDER';
    const standing = own.filter(({ text }) => text !== undefined);
    if (standing.length === 0) return undefined;
    this.revision++;
    for (const message of standing) {
      delete message.text;
      message.revision = this.revision;
    }
    return undefined;
  }

  hide(user: User, seqs: readonly number[]): void {
    const asked = this.seenBy(user).filter(({ seq }) => seqs.includes(seq));
    for (const { seq } of asked) this.#hidden.get(user)!.add(seq);
    if (asked.length > 0) this.revision++;
  }

  hideUpTo(user: User, seq: number): void {
    for (let hidden = 1; hidden <= Math.min(seq, this.messages.length); hidden++) {
      this.#hidden.get(user)!.add(hidden);
    }
  }
}

describe.each(engines)('a device that follows the changes: %s', (_name, open) => {
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
  });

  it('holds what a list would', async () => {
    let made = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const run = await beginRun(context, `room ${made++}`);
        for (const step of steps) await run.take(step);
        for (const user of USERS) await run.take({ what: 'refresh', user });
      }),
      { numRuns: 40 },
    );
  });
});

async function beginRun(context: HistoryContext, name: string) {
  const methods = methodsOf(context);
  const conversation = { case: 'group', value: name } as const;
  const model = new Model();
  const devices = new Map(USERS.map((user) => [user, new Device(methods, user, name)]));
  for (const sender of USERS) {
    await methods.append({ conversation, messages: [{ sender, content: { text: 'said' } }] });
    model.append(sender);
  }
  await setMember(context.database, group(name).id, MODERATOR, 'role = 2');

  /** Makes a call that answers as the model does: with its revision, or the reason why not. */
  async function agree(call: Promise<{ revision: bigint }>, reason: string | undefined) {
    const outcome = await call.then(
      ({ revision }) => ({ revision: Number(revision) }),
      (error) => ({ reason: error.reason }),
    );
    expect(outcome).toEqual(reason === undefined ? { revision: model.revision } : { reason });
  }

  async function take(step: Step): Promise<void> {
    const request = { user: step.user, conversation };
    const forEveryone = { ...request, scope: DeleteScope.FOR_EVERYONE };
    const forMe = { ...request, scope: DeleteScope.FOR_ME };
    if (step.what === 'append') {
      await methods.append({ ...request, messages: [{ content: { text: 'said' } }] });
      model.append(step.user);
    } else if (step.what === 'refresh') {
      const device = devices.get(step.user)!;
      await device.refresh();
      expect(device.messages.map(plain)).toEqual(model.seenBy(step.user).map(inFull));
    } else if (step.what === 'edit') {
      const message = { case: 'seq', value: BigInt(step.seq) } as const;
      const edit = { ...request, message, content: { text: step.text } };
      const reason = model.edit(step.user, step.seq, step.text);
      await agree(methods.edit(edit), reason);
    } else if (step.what === 'delete') {
      const reason = model.delete(step.user, step.seqs, 'all');
      await agree(methods.delete({ ...forEveryone, seqs: step.seqs.map(BigInt) }), reason);
    } else if (step.what === 'deleteUpTo') {
      const upTo = Array.from({ length: step.seq }, (_, n) => n + 1);
      model.delete(step.user, upTo, 'own');
      await agree(methods.delete({ ...forEveryone, upToSeq: BigInt(step.seq) }), undefined);
    } else if (step.what === 'hide') {
      model.hide(step.user, step.seqs);
      await agree(methods.delete({ ...forMe, seqs: step.seqs.map(BigInt) }), undefined);
    } else {
      model.hideUpTo(step.user, step.seq);
      await agree(methods.delete({ ...forMe, upToSeq: BigInt(step.seq) }), undefined);
    }
  }
  return { take };
}

function plain({ seq, sender, content, revision, deletedAtMs }: Message) {
  return {
    ...{ seq: Number(seq), sender, text: content?.text, revision: Number(revision) },
    deleted: deletedAtMs > 0n,
  };
}

function inFull({ seq, sender, text, revision }: Model['messages'][number]) {
  return { seq, sender, text, revision, deleted: text === undefined };
}
