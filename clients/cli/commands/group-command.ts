import type { Command } from 'commander';
import { Role } from '../../gen/backscroll/history/v1/directory_pb.ts';
import type { GlobalOptions } from '../context.ts';

/** The options of every command on a group. */
export interface GroupOptions extends GlobalOptions {
  readonly group: string;
  readonly user?: string;
}

/** Roles, by the names that people give them. */
export const ROLES = { member: Role.MEMBER, moderator: Role.MODERATOR, owner: Role.OWNER } as const;

/** A role's name. */
export function roleName(role: Role): string {
  return Object.entries(ROLES).find(([, value]) => value === role)?.[0] ?? '?';
}

/** Adds a command on a group. */
export function groupCommand(parent: Command, name: string): Command {
  return parent
    .command(name)
    .requiredOption('-g, --group <name>', 'the group')
    .option('-u, --user <name>', 'who acts, by their role (a service, who may do all)');
}

/** The group, and who acts, as the client's requests name them. */
export function addressed({ group, user }: GroupOptions) {
  return { group, ...(user !== undefined && { user }) };
}
