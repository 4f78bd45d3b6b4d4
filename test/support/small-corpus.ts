import type { ChatLine } from './corpus.ts';
import { Random } from './random.ts';

/**
 * A small chat corpus of the project's own, the same at every call: groups and pairs, short and longer
 * ones, everyday words and awkward texts, equal times, exact repeats, an unknown sender. For machines
 * that have no BACKSCROLL_CORPUS.
 */
export function smallCorpus(): ChatLine[] {
  const random = new Random(20_260_101);
  const lines: ChatLine[] = [];
  for (const [index, length] of [1, 2, 7, 19, 20, 130, 501, 1_234].entries()) {
    lines.push(...chat(random, 'group', `room ${index}/${'ä'.repeat(index)}`, length));
    lines.push(...chat(random, 'direct', `Zoë ${index}|adam ${index}`, length));
  }
  lines.push(...chat(random, 'direct', 'echo|echo', 12));
  return lines;
}

function chat(random: Random, kind: ChatLine['kind'], name: string, length: number): ChatLine[] {
  const people =
    kind === 'direct' ? name.split('|') : ['Ana', 'ana', 'ana ', 'Béla', '陽子', 'זוהר'];
  const lines: ChatLine[] = [];
  let time = 1_500_000_000_000 + random.between(0, 1_000_000);
  for (let i = 0; i < length; i++) {
    time += random.oneIn(3) ? 0 : random.between(1, 60_000);
    const line = {
      conversation: name,
      kind,
      sender: kind === 'group' && random.oneIn(50) ? '' : random.pick(people),
      sent_at_ms: time,
      text: random.oneIn(4) ? random.pick(awkwardTexts) : plainText(random),
      id: `${i}:${random.uint32().toString(36)}`,
    };
    lines.push(line);
    if (random.oneIn(40)) lines.push(line);
  }
  return lines;
}

const words =
  'the kettle boils at seven bring cake or a ladder maybe both we meet behind the old mill if it rains'.split(
    ' ',
  );

function plainText(random: Random): string {
  return Array.from({ length: random.between(1, 30) }, () => random.pick(words)).join(' ');
}

/** Texts that have broken message stores, each for another reason. */
export const awkwardTexts: readonly string[] = [
  '',
  ' ',
  '\n',
  'two\r\nlines\rand\nmore\n',
  'tab\tbell\u0007 escape\u001b[31m nul\u0000 end',
  'line\u2028and paragraph\u2029separators',
  '\ufeffbyte order mark',
  'astral 🪗🛟 family 👩‍👩‍👧‍👦 flag 🇭🇺 skin 👍🏿',
  'e\u0301 is not é, though it looks so',
  'שלום world \u202eoverridden\u202c مرحبا',
  '1\uFE0F\u20E3 keycap, zero\u200bwidth, soft\u00adhyphen',
  'न\u093F क\u094D\u0937 \u1100\u1161\u11A8',
  '\uFFFD \uFFFE \uFFFF \u{10FFFF}',
  `"quotes" 'and' \`ticks\` \\ back\\slash %s \${x} {{y}} ; DROP TABLE message; --`,
  '{"conversation":"not one","id":"nor this"}',
  'null',
  '0',
  `${'long '.repeat(4_000)}end`,
  '長い日本語の文'.repeat(1_500),
];
