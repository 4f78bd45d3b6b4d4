import type { Command } from 'commander';
import type { GlobalOptions } from '../context.ts';

/** The options of every command on one database of a user. */
export interface DatabaseOptions extends GlobalOptions {
  readonly user: string;
  readonly database?: string;
}

/** The name of a database that is given none. */
export const DEFAULT_DATABASE = 'backup.db';

/** Adds a command on one database of a user. */
export function databaseCommand(group: Command, name: string): Command {
  return group
    .command(name)
    .requiredOption('-u, --user <name>', 'whose database it is')
    .option('-d, --database <name>', `name of the database (${DEFAULT_DATABASE})`);
}
