import type { Command } from 'commander';
import { DEFAULT_DATABASE } from '../../backup/backup-client.ts';
import { type GlobalOptions, nonEmpty } from '../context.ts';

/** The options of every command on one database of a user. */
export interface DatabaseOptions extends GlobalOptions {
  readonly user: string;
  readonly database?: string;
}

/** Adds a command on one database of a user. */
export function databaseCommand(group: Command, name: string): Command {
  return group
    .command(name)
    .requiredOption('-u, --user <name>', 'whose database it is')
    .option('-d, --database <name>', `name of the database (${DEFAULT_DATABASE})`, nonEmpty);
}
