import { toJson } from '@bufbuild/protobuf';
import { type Command, Option } from 'commander';
import {
  AddMembersResponseSchema,
  MemberSchema,
  RemoveMembersResponseSchema,
} from '../../gen/backscroll/history/v1/directory_pb.ts';
import type { Context } from '../context.ts';
import { ALL_FIELDS, print } from '../print.ts';
import { printable } from '../readable.ts';
import { addressed, type GroupOptions, groupCommand, ROLES, roleName } from './group-command.ts';

interface WithRole extends GroupOptions {
  readonly role: keyof typeof ROLES;
}

/** The service takes so many members a call, and gives so many a page. */
const MOST_MEMBERS = 1_000;

/** Adds the commands on a group's members to `backscroll group`. */
export function addGroupMembers(group: Command, context: Context): void {
  addAdd(group, context);
  addRemove(group, context);
  addRole(group, context);
  addMembers(group, context);
}

function addAdd(group: Command, context: Context): void {
  groupCommand(group, 'add')
    .summary('add members')
    .description('Adds members, in calls of 1,000. Who is a member already stays as they are.')
    .argument('<members...>', 'whom')
    .addOption(roleOption().default('member'))
    .addHelpText(
      'after',
      `
Examples:
  backscroll group add --group team --user alice dave erin
  backscroll group add --group team --role moderator frank`,
    )
    .action(async (members: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<WithRole>();
      const role = ROLES[options.role];
      const client = context.directory(options);
      for (const some of pieces(members)) {
        const request = { ...addressed(options), members: some.map((user) => ({ user, role })) };
        const added = await client.addMembers(request, context.call(options));
        const text = `added: ${added.added}; members: ${added.memberCount}`;
        await print(context, options, text, toJson(AddMembersResponseSchema, added, ALL_FIELDS));
      }
    });
}

function addRemove(group: Command, context: Context): void {
  groupCommand(group, 'remove')
    .summary('remove members')
    .description('Removes members, in calls of 1,000. They keep what they saw.')
    .argument('<members...>', 'whom')
    .addHelpText(
      'after',
      `
Examples:
  backscroll group remove --group team --user alice dave
  backscroll group remove --group team --user erin erin`,
    )
    .action(async (members: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<GroupOptions>();
      const client = context.directory(options);
      for (const some of pieces(members)) {
        const request = { ...addressed(options), members: some };
        const left = await client.removeMembers(request, context.call(options));
        const text = `removed: ${left.removed}; members: ${left.memberCount}`;
        await print(context, options, text, toJson(RemoveMembersResponseSchema, left, ALL_FIELDS));
      }
    });
}

function addRole(group: Command, context: Context): void {
  groupCommand(group, 'role')
    .summary('give a member another role')
    .description('Gives a member another role, in place of the one they have.')
    .argument('<member>', 'whom')
    .addOption(roleOption().makeOptionMandatory())
    .addHelpText(
      'after',
      '\nExamples:\n  backscroll group role --group team --user alice --role moderator bob',
    )
    .action(async (member: string, _options, command: Command) => {
      const options = command.optsWithGlobals<WithRole>();
      const request = { ...addressed(options), member, role: ROLES[options.role] };
      await context.directory(options).setRole(request, context.call(options));
      await print(context, options, `${printable(member)}: ${options.role}`, {});
    });
}

function addMembers(group: Command, context: Context): void {
  groupCommand(group, 'members')
    .summary('list the members')
    .description('Lists the members: names, roles, and up to which seq they have read.')
    .addHelpText(
      'after',
      `
Examples:
  backscroll group members --group team
  backscroll group members --group team --user alice --json | jq -r .user`,
    )
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GroupOptions>();
      const request = { ...addressed(options), pageSize: MOST_MEMBERS };
      const members = context.directory(options).members(request, context.call(options));
      for await (const member of members) {
        const { user, role, readSeq } = member;
        const text = `${printable(user)}\t${roleName(role)}\tread up to ${readSeq}`;
        await print(context, options, text, toJson(MemberSchema, member, ALL_FIELDS));
      }
    });
}

function roleOption(): Option {
  return new Option('--role <role>', 'what they may do').choices(Object.keys(ROLES));
}

function* pieces(members: readonly string[]): Generator<string[]> {
  for (let first = 0; first < members.length; first += MOST_MEMBERS) {
    yield members.slice(first, first + MOST_MEMBERS);
  }
}
