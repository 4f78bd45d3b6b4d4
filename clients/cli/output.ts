import { styleText } from 'node:util';
import { OutputClosed } from './exit.ts';
import { printable } from './readable.ts';

/** What a command prints, and where. */
export class Output {
  readonly #out: NodeJS.WriteStream;
  readonly #notes: NodeJS.WriteStream;

  /** `out`: for what was asked for; `notes`: for what is said beside it. */
  constructor(out: NodeJS.WriteStream, notes: NodeJS.WriteStream) {
    this.#out = out;
    this.#notes = notes;
    // A failed write fails the `write` that made it; the event alone would end the process.
    for (const stream of [out, notes]) stream.on('error', () => {});
  }

  /**
   * Writes to standard output; resolves when the system has taken it, so that nothing piles up before
   * a slow reader. Throws `OutputClosed` when there is no reader any more.
   */
  write(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#out.write(data, (error) => {
        if (!error) resolve();
        else if ((error as NodeJS.ErrnoException).code === 'EPIPE') reject(new OutputClosed());
        else reject(error);
      });
    });
  }

  /** Writes one line to standard output. */
  line(text: string): Promise<void> {
    return this.write(`${text}\n`);
  }

  /** Says something beside the output, on standard error. */
  note(text: string): void {
    this.#notes.write(`${text}\n`);
  }

  /** Dims text on a terminal that shows colours. */
  dim(text: string): string {
    return hasColours(this.#out) ? styleText('dim', text, { validateStream: false }) : text;
  }

  /** Makes text of standard output bold on a terminal that shows colours. */
  bold(text: string): string {
    return hasColours(this.#out) ? styleText('bold', text, { validateStream: false }) : text;
  }

  /** Says on standard error why the command failed; the message may quote what others wrote. */
  fail(message: string): void {
    const label = hasColours(this.#notes)
      ? styleText('red', 'error:', { validateStream: false })
      : 'error:';
    const lines = message.split('\n').map(printable);
    this.#notes.write(`${label} ${lines.join('\n')}\n`);
  }
}

/** Also tells whether NO_COLOR is set. */
function hasColours(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && stream.hasColors();
}
