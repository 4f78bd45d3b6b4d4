import { on } from 'node:events';
import { emitKeypressEvents, type Key } from 'node:readline';

/** What goes on, whichever way the pages go. */
const MORE = ['space', 'return', 'enter', 'up', 'down', 'pageup', 'pagedown', 'k', 'j'];

const ENOUGH = ['q', 'escape'];

/** Whether a person reads the output, and can press keys. */
export function isAtTerminal(): boolean {
  const { stdin, stdout, stderr } = process;
  return [stdin, stdout, stderr].every(({ isTTY }) => isTTY);
}

/** Asks on the terminal whether there is to be more, and waits for the key; takes the question away then. */
export async function wantsMore(signal: AbortSignal): Promise<boolean> {
  const { stdin, stderr } = process;
  // Before it is asked, or the terminal would show a key that is pressed at once.
  stdin.setRawMode(true);
  stderr.write('-- space: more, q: quit --');
  emitKeypressEvents(stdin);
  const keys = on(stdin, 'keypress', { signal, close: ['end'] }) as AsyncIterable<[string, Key]>;
  stdin.resume();
  try {
    for await (const [, { name = '', ctrl }] of keys) {
      // A terminal that is read in this way makes no signal of Ctrl-C.
      if (ctrl && name === 'c') process.kill(process.pid, 'SIGINT');
      if (ENOUGH.includes(name) || (ctrl && name === 'd')) return false;
      if (MORE.includes(name)) return true;
    }
    return false;
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\r\u001b[K');
  }
}
