import { on } from 'node:events';

/** Space, Enter, the arrow up, Page up, and `k` as pagers have it. */
const MORE = [' ', '\r', '\n', '\u001b[A', '\u001b[5~', 'k'];

/** `q`, Escape, and Ctrl-D. */
const ENOUGH = ['q', 'Q', '\u001b', '\u0004'];

const INTERRUPT = '\u0003';

/** Whether a person reads the output, and can press keys. */
export function isAtTerminal(): boolean {
  const { stdin, stdout, stderr } = process;
  return [stdin, stdout, stderr].every(({ isTTY }) => isTTY);
}

/** Asks on the terminal whether there is to be more, and waits for the key; takes the question away then. */
export async function wantsMore(signal: AbortSignal): Promise<boolean> {
  const { stdin, stderr } = process;
  stderr.write('-- space: more, q: quit --');
  stdin.setRawMode(true);
  const keys = on(stdin, 'data', { signal, close: ['end'] });
  stdin.resume();
  try {
    for await (const [pressed] of keys) {
      const typed = String(pressed);
      // Of several that came at once, the last.
      const key = typed.startsWith('\u001b') ? typed : typed.slice(-1);
      if (MORE.includes(key)) return true;
      if (ENOUGH.includes(key)) return false;
      // A terminal that is read in this way makes no signal of Ctrl-C.
      if (key === INTERRUPT) process.kill(process.pid, 'SIGINT');
    }
    return false;
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\r\u001b[K');
  }
}
