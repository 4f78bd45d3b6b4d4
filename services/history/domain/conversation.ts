import { hash } from 'node:crypto';
import type { Conversation } from '../store/model.ts';

/** Who does something in which conversation. */
export interface Actor {
  readonly conversation: Conversation;
  /** Empty for a service. */
  readonly user: string;
}

/** The conversation of two users, in either order; also of a user with themself. */
export function pair(user: string, peer: string): Conversation {
  const names = [Buffer.from(user), Buffer.from(peer)].sort(Buffer.compare);
  return {
    id: idOf('pair', names),
    kind: 'pair',
    names: names.map((name) => name.toString()),
  };
}

/** A group's conversation. */
export function group(name: string): Conversation {
  return { id: idOf('group', [Buffer.from(name)]), kind: 'group', names: [name] };
}

/**
 * The key under which all of a conversation is stored: made of kind and names alone, so that no
 * look-up stands before a page. Lengths stand before names, so that no two lists of names run together.
 */
function idOf(kind: Conversation['kind'], names: readonly Buffer[]): Buffer {
  const parts = names.flatMap((name) => [Uint8Array.of(name.length), name]);
  return hash('sha256', Buffer.concat([Buffer.from(`${kind}\0`), ...parts]), 'buffer').subarray(
    0,
    16,
  );
}
