import { toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import {
  GetGroupResponseSchema,
  type Group,
  GroupSchema,
  HistoryVisibility,
  Role,
} from '../../gen/backscroll/history/v1/directory_pb.ts';
import { type Context, wholeNumber } from '../context.ts';
import { usage } from '../exit.ts';
import { ALL_FIELDS, print } from '../print.ts';
import { printable } from '../readable.ts';
import { addressed, type GroupOptions, groupCommand, roleName } from './group-command.ts';
import { addGroupMembers } from './group-members.ts';

interface SettingsOptions extends GroupOptions {
  readonly title?: string;
  readonly newcomersSee?: string;
  readonly keepDays?: number;
}

/** Adds `backscroll group` with its commands. */
export function addGroup(program: Command, context: Context): void {
  const group = program.command('group').summary('create and change groups');
  group.description('Creates, shows, changes and deletes groups, and their members.').addHelpText(
    'after',
    `
Examples:
  backscroll group create --group team --user alice bob
  backscroll group add --group team --user alice carol
  backscroll group members --group team`,
  );
  addCreate(group, context);
  addShow(group, context);
  addUpdate(group, context);
  addDelete(group, context);
  addGroupMembers(group, context);
}

function addCreate(group: Command, context: Context): void {
  withSettings(groupCommand(group, 'create'))
    .summary('create a group')
    .description(
      'Creates a group, with the members named; --user becomes its owner. Newcomers see all unless ' +
        'told otherwise.',
    )
    .argument('[members...]', 'who is a member from the beginning')
    .addHelpText(
      'after',
      `
Examples:
  backscroll group create --group team --user alice --title "The team" bob carol
  backscroll group create --group team --newcomers-see 100 --keep-days 365`,
    )
    .action(async (members: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<SettingsOptions>();
      const request = {
        ...addressed(options),
        ...settingsOf(options),
        members: members.map((user) => ({ user })),
      };
      const created = await context.directory(options).createGroup(request, context.call(options));
      await printGroup(context, options, created);
    });
}

function addShow(group: Command, context: Context): void {
  groupCommand(group, 'show')
    .summary("show a group's settings")
    .description("Shows a group's settings, and with --user their role in it.")
    .addHelpText(
      'after',
      `
Examples:
  backscroll group show --group team
  backscroll group show --group team --user alice --json | jq -r .role`,
    )
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GroupOptions>();
      const client = context.directory(options);
      const found = await client.getGroup(addressed(options), context.call(options));
      const role = found.role === Role.UNSPECIFIED ? '' : `\n  your role: ${roleName(found.role)}`;
      const text = found.group ? readable(found.group) + role : '';
      await print(context, options, text, toJson(GetGroupResponseSchema, found, ALL_FIELDS));
    });
}

function addUpdate(group: Command, context: Context): void {
  withSettings(groupCommand(group, 'update'))
    .summary('rename a group, or change its settings')
    .description('Changes what is given, and leaves the rest of the settings as they are.')
    .addHelpText(
      'after',
      `
Examples:
  backscroll group update --group team --user alice --title "Our team"
  backscroll group update --group team --newcomers-see none --keep-days 0`,
    )
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<SettingsOptions>();
      const request = { ...addressed(options), ...settingsOf(options) };
      const updated = await context.directory(options).updateGroup(request, context.call(options));
      await printGroup(context, options, updated);
    });
}

function addDelete(group: Command, context: Context): void {
  groupCommand(group, 'delete')
    .summary('delete a group with its messages, for everyone')
    .description('Deletes a group with its messages and members, for everyone and for good.')
    .requiredOption('--yes', 'confirm: nothing of it can be brought back')
    .addHelpText('after', '\nExamples:\n  backscroll group delete --group team --user alice --yes')
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GroupOptions>();
      await context.directory(options).deleteGroup(addressed(options), context.call(options));
      await print(context, options, 'deleted', {});
    });
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

const SECONDS_A_DAY = 86_400;

function settingsOf({ title, newcomersSee, keepDays }: SettingsOptions) {
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

async function printGroup(context: Context, options: GroupOptions, group: Group): Promise<void> {
  await print(context, options, readable(group), toJson(GroupSchema, group, ALL_FIELDS));
}

function readable(group: Group): string {
  const { title, memberCount, retentionS } = group;
  const called = title === '' ? '' : ` (${printable(title)})`;
  const lines = [
    `#${printable(group.group)}${called}, members: ${memberCount}`,
    `  newcomers see: ${newcomersSee(group)}`,
  ];
  if (retentionS > 0n)
    lines.push(`  messages are kept: ${Number(retentionS) / SECONDS_A_DAY} days`);
  return lines.join('\n');
}

function newcomersSee({ historyVisibility, visibleMessages }: Group): string {
  if (historyVisibility === HistoryVisibility.FROM_JOINING) return 'none';
  return historyVisibility === HistoryVisibility.LAST ? String(visibleMessages) : 'all';
}
