import type { JsonValue } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import type { Context, GlobalOptions } from '../context.ts';

/** The options of every command on one database of a user. */
export interface DatabaseOptions extends GlobalOptions {
  readonly user: string;
  readonly database?: string;
}

/** Scripts want every field, also those that are 0. */
export const ALL_FIELDS = { alwaysEmitImplicit: true };

/** The name of a database that is given none. */
export const DEFAULT_DATABASE = 'backup.db';

/** Adds a command on one database of a user. */
export function databaseCommand(group: Command, name: string): Command {
  return group
    .command(name)
    .requiredOption('-u, --user <name>', 'whose database it is')
    .option('-d, --database <name>', `name of the database (${DEFAULT_DATABASE})`);
}

/** Prints a command's result: for people, or with `--json` for programs. */
export async function print(
  { output }: Context,
  { json }: GlobalOptions,
  text: string,
  value: JsonValue,
): Promise<void> {
  await output.line(json ? JSON.stringify(value) : text);
}
