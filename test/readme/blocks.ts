import { readFileSync } from 'node:fs';

/** A fenced block of the README. */
export interface Block {
  /** Language, the fence's first word. */
  language: string;
  /** The fence's second word: who runs it where it can't just run (`start`, `test`, `compose`); else ''. */
  role: string;
  text: string;
  /** Line of the README at which it begins, counted from 1. */
  line: number;
}

/** All fenced blocks of the README, in order. */
export function readmeBlocks(): Block[] {
  const blocks: Block[] = [];
  let open: Block | undefined;
  const lines = readFileSync(new URL('../../README.md', import.meta.url), 'utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    if (!line.startsWith('```')) {
      if (open) open.text += `${line}\n`;
    } else if (open) {
      blocks.push(open);
      open = undefined;
    } else {
      const [language = '', role = ''] = line.slice(3).trim().split(/\s+/);
      open = { language, role, text: '', line: index + 1 };
    }
  }
  if (open) throw new Error(`README.md:${open.line}: the block is not closed`);
  return blocks;
}
