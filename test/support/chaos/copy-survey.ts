import {
  type Asking,
  checkConversation,
  checkInbox,
  checkStranger,
  checkSwept,
  type Digests,
  faultsOf,
} from './copy-checks.ts';
import { checkDevice } from './copy-devices.ts';
import type { Life } from './copy-life.ts';
import type { ModelConversation } from './copy-model.ts';

/** What was read of each conversation since it was last touched. */
export type Read = Map<ModelConversation, Promise<Digests>>;

/**
 * Asks as everybody concerned, while nothing is in flight: conversations whole, inboxes of `users`, what
 * strangers are told, and all devices. One line a fault, of the first kind of check that finds any.
 */
export async function survey(
  asking: Asking,
  conversations: readonly ModelConversation[],
  users: ReadonlySet<string>,
  read: Read,
): Promise<string[]> {
  const { life } = asking;
  const ofUser = conversationsByUser(life);
  const digestsOf = (conversation: ModelConversation) => {
    const digests = read.get(conversation) ?? checkConversation(asking, conversation);
    read.set(conversation, digests);
    return digests;
  };
  for (const conversation of conversations) read.delete(conversation);
  const stages = [
    () => faultsOf(conversations, digestsOf),
    () => faultsOf(conversations, (conversation) => checkSwept(asking, conversation)),
    () => faultsOf(users, (user) => checkInbox(asking, user, ofUser(user))),
    () =>
      faultsOf(strangersTo(life, conversations), ([one, user]) => checkStranger(asking, one, user)),
    () =>
      faultsOf([...life.readers.values()].flat(), (device) =>
        checkDevice(asking, device, ofUser(device.user), digestsOf),
      ),
  ];
  for (const stage of stages) {
    const faults = await stage();
    if (faults.length > 0) return faults;
  }
  return [];
}

function conversationsByUser(life: Life): (user: string) => ModelConversation[] {
  const found = new Map<string, ModelConversation[]>();
  for (const conversation of life.conversations.values()) {
    for (const user of conversation.members.keys()) {
      const list = found.get(user);
      if (list) list.push(conversation);
      else found.set(user, [conversation]);
    }
  }
  return (user) => found.get(user) ?? [];
}

/** Groups with people who never were in them, or who were before they were deleted. */
function strangersTo(life: Life, conversations: readonly ModelConversation[]) {
  return conversations
    .filter(({ name }) => name.group !== undefined)
    .flatMap((conversation) =>
      somePeople(life, conversation)
        .filter((user) => conversation.deleted || !conversation.members.has(user))
        .map((user) => [conversation, user] as const),
    );
}

/** Everybody, or of an imported conversation a few: there are many. */
function somePeople({ people, own, random }: Life, conversation: ModelConversation): string[] {
  return own.includes(conversation) ? people : [random.pick(people), random.pick(people)];
}
