import { toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import {
  EraseUserResponseSchema,
  type Profile,
  ProfileSchema,
} from '../../gen/backscroll/history/v1/directory_pb.ts';
import type { Context, GlobalOptions } from '../context.ts';
import { CliError, Exit, usage } from '../exit.ts';
import { ALL_FIELDS, print } from '../print.ts';
import { counted, printable } from '../readable.ts';

interface ProfileOptions extends GlobalOptions {
  readonly displayName?: string;
  readonly avatar?: string;
  readonly set?: string[];
}

/** Adds `backscroll profile` and `backscroll erase`. */
export function addUser(program: Command, context: Context): void {
  program
    .command('profile')
    .summary("show or store a user's profile")
    .description('Shows the profile of a user; with options, stores it first, as a whole.')
    .argument('<user>', 'whose')
    .option('--display-name <text>', 'name to show')
    .option('--avatar <url>', 'where the picture is')
    .option('--set <key=value...>', 'other attributes')
    .addHelpText(
      'after',
      `
Examples:
  backscroll profile alice --display-name "Alice A." --set city=Paris
  backscroll profile alice --json`,
    )
    .action(async (user: string, _options, command: Command) => {
      await profile(context, user, command.optsWithGlobals<ProfileOptions>());
    });
  program
    .command('erase')
    .summary('remove a person with all that they said')
    .description(
      'Removes the messages, profile, memberships and marks of a user, for good. May be repeated until ' +
        'it succeeds.',
    )
    .argument('<user>', 'whom')
    .requiredOption('--yes', 'confirm: nothing of it can be brought back')
    .addHelpText('after', '\nExamples:\n  backscroll erase alice --yes')
    .action(async (user: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const erased = await context.directory(options).eraseUser(user, context.call(options));
      const { messages, conversations } = erased;
      const from = counted(conversations, 'conversation');
      const text = `erased: ${counted(messages, 'message')} in ${from}`;
      await print(context, options, text, toJson(EraseUserResponseSchema, erased, ALL_FIELDS));
    });
}

async function profile(context: Context, user: string, options: ProfileOptions): Promise<void> {
  const { displayName, avatar, set = [] } = options;
  const client = context.directory(options);
  if (displayName !== undefined || avatar !== undefined || set.length > 0) {
    const attributes = Object.fromEntries(set.map(attributeOf));
    const stored = {
      user,
      attributes,
      ...(displayName !== undefined && { displayName }),
      ...(avatar !== undefined && { avatarUrl: avatar }),
    };
    await client.putProfiles([stored], context.call(options));
  }
  const { profiles } = await client.getProfiles([user], context.call(options));
  const [found] = profiles;
  if (!found) throw new CliError(Exit.nothing, 'There is no profile of this user');
  await print(context, options, textOf(found), toJson(ProfileSchema, found, ALL_FIELDS));
}

function attributeOf(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw usage(`--set takes key=value, not "${text}"`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function textOf({ user, displayName, avatarUrl, attributes }: Profile): string {
  // In no order of their own.
  const others = Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  const rows = [['name', displayName], ['avatar', avatarUrl], ...others];
  const shown = rows.filter(([, value]) => value !== '');
  return [user, ...shown.map(([key, value]) => `  ${key}: ${value}`)].map(printable).join('\n');
}
