import { readFileSync } from 'node:fs';

/** A fenced block of a README. */
export interface Block {
  /** The README's path in the tree. */
  file: string;
  /** Language, the fence's first word. */
  language: string;
  /** The fence's second word: who runs it where it can't just run (`start`, `test`, `compose`); else ''. */
  role: string;
  text: string;
  /** Line of the file at which it begins, counted from 1. */
  line: number;
}

/** All fenced blocks of a README, named by its path in the tree, in order. */
export function readmeBlocks(file: string): Block[] {
  const blocks: Block[] = [];
  let open: Block | undefined;
  const lines = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    if (!line.startsWith('```')) {
      if (open) open.text += `${line}\n`;
    } else if (open) {
      blocks.push(open);
      open = undefined;
    } else {
      const [language = '', role = ''] = line.slice(3).trim().split(/\s+/);
      open = { file, language, role, text: '', line: index + 1 };
    }
  }
  if (open) throw new Error(`${file}:${open.line}: the block is not closed`);
  return blocks;
}
