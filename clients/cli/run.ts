import { createRequire } from 'node:module';
import { Command, InvalidArgumentError, Option } from 'commander';
import { addAppend } from './commands/append.ts';
import { addBackup } from './commands/backup.ts';
import { addChange } from './commands/change.ts';
import { addDevice } from './commands/device.ts';
import { addExport } from './commands/export.ts';
import { addGroup } from './commands/group.ts';
import { addImport } from './commands/import.ts';
import { addInbox } from './commands/inbox.ts';
import { addSync } from './commands/sync.ts';
import { addUser } from './commands/user.ts';
import { Context } from './context.ts';
import { EXIT_CODES, Exit, failureOf } from './exit.ts';
import { Output } from './output.ts';

/** Runs one command line; resolves to its exit code. */
export async function run(argv: string[]): Promise<number> {
  const interrupt = new AbortController();
  const output = new Output(process.stdout, process.stderr);
  const context = new Context(output, interrupt.signal);
  const onSignal = () => interrupt.abort();
  // The first one ends the command in an orderly way, a second one at once.
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    await programOf(context).parseAsync(argv);
    return Exit.ok;
  } catch (error) {
    if (interrupt.signal.aborted) {
      output.fail('Interrupted');
      return Exit.interrupted;
    }
    const { message, exitCode } = failureOf(error, context.callee);
    if (message !== undefined) output.fail(message);
    return exitCode;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    context.close();
  }
}

function programOf(context: Context): Command {
  const { version } = createRequire(import.meta.url)('@backscroll/clients/package.json') as {
    version: string;
  };
  const program = new Command('backscroll')
    .description('Reads and stores chat history and backups, kept by the Backscroll services.')
    .version(version)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .addOption(
      new Option('--history <address>', 'address of the history service')
        .env('BACKSCROLL_HISTORY')
        .default('localhost:50051'),
    )
    .addOption(
      new Option('--backup <address>', 'address of the backup service')
        .env('BACKSCROLL_BACKUP')
        .default('localhost:50052'),
    )
    .option('--json', 'print JSON, one value a line, for programs to read')
    .option('--timeout <seconds>', 'give up after this time', seconds)
    .addHelpText('after', EXIT_CODES);
  addSync(program, context);
  addAppend(program, context);
  addImport(program, context);
  addExport(program, context);
  addInbox(program, context);
  addChange(program, context);
  addGroup(program, context);
  addUser(program, context);
  addBackup(program, context);
  addDevice(program, context);
  return program;
}

function seconds(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It is not a time in seconds.');
}
