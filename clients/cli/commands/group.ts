import { toJson } from '@bufbuild/protobuf';
import { type Command, Option } from 'commander';
import {
  AddMembersResponseSchema,
  type Group,
  GroupSchema,
  HistoryVisibility,
  MemberSchema,
  RemoveMembersResponseSchema,
  Role,
} from '../../gen/backscroll/history/v1/directory_pb.ts';
import { type Context, type GlobalOptions, wholeNumber } from '../context.ts';
import { usage } from '../exit.ts';
import { ALL_FIELDS, print } from '../print.ts';
import { printable } from '../readable.ts';

interface Options extends GlobalOptions {
  readonly group: string;
  readonly user?: string;
}

interface Settings extends Options {
  readonly title?: string;
  readonly newcomersSee?: string;
  readonly keepDays?: number;
}

const ROLES = { member: Role.MEMBER, moderator: Role.MODERATOR, owner: Role.OWNER } as const;

interface WithRole extends Options {
  readonly role: keyof typeof ROLES;
}

/** The service takes so many members a call. */
const MOST_MEMBERS = 1_000;

/** Adds `backscroll group` with its commands. */
export function addGroup(program: Command, context: Context): void {
  const group = program.command('group').summary('create and change groups');
  group.description('Creates, shows, changes and deletes groups, and their members.');
  withSettings(command(group, 'create'))
    .summary('create a group')
    .description('Creates a group, with the members named; --user becomes its owner.')
    .argument('[members...]', 'who is a member from the beginning')
    .addHelpText(
      'after',
      `
Examples:
  backscroll group create --group team --user alice --title "The team" bob carol
  backscroll group create --group team --newcomers-see 100 --keep-days 365`,
    )
    .action(async (members: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<Settings>();
      const created = await context.directory(options).createGroup(
        {
          ...addressed(options),
          ...settingsOf(options),
          members: members.map((user) => ({ user })),
        },
        context.call(options),
      );
      await printGroup(context, options, created);
    });
  command(group, 'show')
    .summary("show a group's settings")
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      const { group } = await context
        .directory(options)
        .getGroup(addressed(options), context.call(options));
      if (group) await printGroup(context, options, group);
    });
  withSettings(command(group, 'update'))
    .summary('rename a group, or change its settings')
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<Settings>();
      const updated = await context
        .directory(options)
        .updateGroup({ ...addressed(options), ...settingsOf(options) }, context.call(options));
      await printGroup(context, options, updated);
    });
  command(group, 'delete')
    .summary('delete a group with its messages, for everyone')
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      await context.directory(options).deleteGroup(addressed(options), context.call(options));
      await print(context, options, 'deleted', {});
    });
  addMemberCommands(group, context);
}

function addMemberCommands(group: Command, context: Context): void {
  command(group, 'add')
    .summary('add members')
    .argument('<members...>', 'whom')
    .addOption(roleOption().default('member'))
    .action(async (members: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<WithRole>();
      const role = ROLES[options.role];
      for (const some of pieces(members)) {
        const added = await context
          .directory(options)
          .addMembers(
            { ...addressed(options), members: some.map((user) => ({ user, role })) },
            context.call(options),
          );
        const text = `added: ${added.added}; members: ${added.memberCount}`;
        await print(context, options, text, toJson(AddMembersResponseSchema, added, ALL_FIELDS));
      }
    });
  command(group, 'remove')
    .summary('remove members')
    .argument('<members...>', 'whom')
    .action(async (members: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      for (const some of pieces(members)) {
        const left = await context
          .directory(options)
          .removeMembers({ ...addressed(options), members: some }, context.call(options));
        const text = `removed: ${left.removed}; members: ${left.memberCount}`;
        await print(context, options, text, toJson(RemoveMembersResponseSchema, left, ALL_FIELDS));
      }
    });
  command(group, 'role')
    .summary('give a member another role')
    .argument('<member>', 'whom')
    .addOption(roleOption().makeOptionMandatory())
    .action(async (member: string, _options, command: Command) => {
      const options = command.optsWithGlobals<WithRole>();
      const role = ROLES[options.role];
      await context
        .directory(options)
        .setRole({ ...addressed(options), member, role }, context.call(options));
      await print(context, options, `${printable(member)}: ${options.role}`, {});
    });
  command(group, 'members')
    .summary('list the members')
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      const members = context
        .directory(options)
        .members({ ...addressed(options), pageSize: MOST_MEMBERS }, context.call(options));
      for await (const member of members) {
        const role = Object.entries(ROLES).find(([, value]) => value === member.role)?.[0] ?? '';
        const text = `${printable(member.user)}\t${role}\tread up to ${member.readSeq}`;
        await print(context, options, text, toJson(MemberSchema, member, ALL_FIELDS));
      }
    });
}

function command(parent: Command, name: string): Command {
  return parent
    .command(name)
    .requiredOption('-g, --group <name>', 'the group')
    .option('-u, --user <name>', 'who acts, by their role (a service, who may do all)');
}

function withSettings(command: Command): Command {
  return command
    .option('--title <text>', 'what the group is called')
    .option(
      '--newcomers-see <what>',
      'what is shown of what was said before: all, none, or a number of messages',
    )
    .option('--keep-days <days>', 'remove older messages; 0: as the service does', wholeNumber);
}

function roleOption(): Option {
  return new Option('--role <role>', 'what they may do').choices(Object.keys(ROLES));
}

function addressed({ group, user }: Options) {
  return { group, ...(user !== undefined && { user }) };
}

const SECONDS_A_DAY = 86_400;

function settingsOf({ title, newcomersSee, keepDays }: Settings) {
  return {
    ...(title !== undefined && { title }),
    ...(newcomersSee !== undefined && visibilityOf(newcomersSee)),
    ...(keepDays !== undefined && { retentionS: BigInt(keepDays) * BigInt(SECONDS_A_DAY) }),
  };
}

function visibilityOf(text: string) {
  if (text === 'all') return { historyVisibility: HistoryVisibility.ALL };
  if (text === 'none') return { historyVisibility: HistoryVisibility.FROM_JOINING };
  if (/^[1-9]\d{0,6}$/.test(text)) {
    return { historyVisibility: HistoryVisibility.LAST, visibleMessages: BigInt(text) };
  }
  throw usage('--newcomers-see takes all, none, or a number of messages');
}

async function printGroup(context: Context, options: Options, group: Group): Promise<void> {
  const { title, memberCount } = group;
  const called = title === '' ? '' : ` (${printable(title)})`;
  const text = `#${printable(group.group)}${called}, members: ${memberCount}`;
  await print(context, options, text, toJson(GroupSchema, group, ALL_FIELDS));
}

function* pieces(members: readonly string[]): Generator<string[]> {
  for (let first = 0; first < members.length; first += MOST_MEMBERS) {
    yield members.slice(first, first + MOST_MEMBERS);
  }
}
