/** A conversation of two users, named by both in either order; the same twice for one with oneself. */
export interface Pair {
  /** For whom the call is made: one of the two. */
  readonly user: string;
  /** The other one. */
  readonly peer: string;
  readonly group?: never;
}

/** A group. */
export interface Group {
  /** The group's name. */
  readonly group: string;
  /** For whom the call is made: a member. Without it a service caller sees the whole group. */
  readonly user?: string | undefined;
  readonly peer?: never;
}

/** Names a conversation: `{ user: 'alice', peer: 'bob' }` or `{ group: 'room' }`. */
export type Conversation = Pair | Group;

/** The conversation as the proto's requests name it. */
export function conversationFields(conversation: Conversation) {
  return {
    user: conversation.user ?? '',
    conversation:
      conversation.group === undefined
        ? ({ case: 'peer', value: conversation.peer } as const)
        : ({ case: 'group', value: conversation.group } as const),
  };
}
