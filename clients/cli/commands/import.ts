import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { BackscrollError } from '../../errors.ts';
import { type Batch, batchesOf, type ImportLine, placeOf } from '../batches.ts';
import type { Context, GlobalOptions } from '../context.ts';
import { CliError, failureOf, usage } from '../exit.ts';
import { linesOf, readInput } from '../lines.ts';
import { parseLine } from '../message-line.ts';
import { inBytes, progressBar } from '../progress.ts';

/** Adds `backscroll import`. */
export function addImport(program: Command, context: Context): void {
  program
    .command('import')
    .summary('store old messages with their own times and ids')
    .description(
      'Stores the messages of files, one a line, in the order in which they stand. Importing a file ' +
        'again adds nothing: after an interruption, repeat the command.\n\n' +
        'A line is a message as `export` writes it, or one of a chat archive:\n' +
        '  {"conversation", "kind": "group" or "direct", "sender", "sent_at_ms", "text", "id"}\n' +
        'where a direct conversation is named "A|B", and the sender may be empty (unknown).',
    )
    .argument('<files...>', 'files, also packed as .gz; - for standard input')
    .addHelpText(
      'after',
      `
Examples:
  backscroll import archive.ndjson.gz
  zcat archive.ndjson.gz | grep Frankfurt | backscroll import -`,
    )
    .action(async (files: string[], _options, command: Command) => {
      await importFiles(context, files, command.optsWithGlobals<GlobalOptions>());
    });
}

async function importFiles(
  context: Context,
  files: string[],
  options: GlobalOptions,
): Promise<void> {
  const progress = progressBar('Importing', inBytes);
  const bytes = await totalBytes(files);
  const onRead = (readBytes: number) => progress.update(readBytes, bytes);
  const unanswered: Batch[] = [];
  const done = { batches: 0, added: 0, repeated: 0, skipped: 0 };
  let fault: { error: unknown } | undefined;
  const lines = untilFault(readFiles(files, context.signal, onRead), (error) => {
    fault = { error };
  });
  try {
    const batches = keep(batchesOf(lines), unanswered);
    const client = context.history(options);
    for await (const answer of client.import(batches, context.call(options))) {
      unanswered.shift();
      done.batches += 1;
      done.added += answer.added;
      done.repeated += answer.repeated;
      done.skipped += answer.skipped;
      progress.note(summaryOf(done));
    }
    if (fault) throw fault.error;
  } catch (error) {
    progress.stop();
    context.output.note(`Stopped early; ${summaryOf(done)}`);
    throw placed(error, unanswered[0]);
  } finally {
    progress.stop();
  }
  await context.output.line(options.json ? JSON.stringify(done) : summaryOf(done));
}

interface Counts {
  readonly added: number;
  readonly repeated: number;
  readonly skipped: number;
}

function summaryOf({ added, repeated, skipped }: Counts): string {
  const left = skipped > 0 ? `, expired or too old: ${skipped}` : '';
  return `messages added: ${added}, there already: ${repeated}${left}`;
}

/** Bytes of the files; 0, which shows no progress, where that can't be known. */
async function totalBytes(files: string[]): Promise<number> {
  if (files.includes('-')) return 0;
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** The lines of all files; `onRead` is told how many of all their bytes were read so far. */
async function* readFiles(
  files: string[],
  signal: AbortSignal,
  onRead: (bytes: number) => void,
): AsyncGenerator<ImportLine[], void, undefined> {
  let before = 0;
  for (const file of files) {
    let read = 0;
    const input = readInput(file, {
      signal,
      onRead: (bytes) => {
        read = bytes;
        onRead(before + bytes);
      },
    });
    const name = file === '-' ? 'standard input' : file;
    for await (const chunk of linesOf(input, name)) {
      const lines: ImportLine[] = [];
      for (const { text, number, sizeBytes } of chunk) {
        if (text.trim() === '') continue;
        const origin = `${name}:${number}`;
        try {
          lines.push({ ...parseLine(text), origin, sizeBytes });
        } catch (error) {
          yield lines;
          throw usage(`${origin}: ${(error as Error).message}`);
        }
      }
      yield lines;
    }
    before += read;
  }
}

/** The lines before the first fault: they are imported before it is told. */
async function* untilFault(
  lines: AsyncIterable<ImportLine[]>,
  onFault: (error: unknown) => void,
): AsyncGenerator<ImportLine[], void, undefined> {
  try {
    yield* lines;
  } catch (error) {
    onFault(error);
  }
}

/** Passes batches on, and keeps them until they are answered. */
async function* keep(
  batches: AsyncIterable<Batch>,
  unanswered: Batch[],
): AsyncGenerator<Batch, void, undefined> {
  for await (const batch of batches) {
    unanswered.push(batch);
    yield batch;
  }
}

/** A refusal of a message, with the file and line that it came from, and the field at fault. */
function placed(error: unknown, refused: Batch | undefined): unknown {
  if (!(error instanceof BackscrollError) || refused === undefined) return error;
  const [fault] = error.fields;
  const place = fault && placeOf(refused, fault.field);
  if (fault === undefined || place === undefined) return error;
  const { exitCode } = failureOf(error, undefined);
  return new CliError(exitCode, `${place}: ${fault.description} (${error.reason})`);
}
