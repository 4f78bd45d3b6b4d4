import { endlessly } from '../support/chat-database.ts';
import {
  type ChatLine,
  chatFile,
  chatFiles,
  corpusFolder,
  readChatLines,
} from '../support/corpus.ts';
import { Random } from '../support/random.ts';

/** A line to import; one with a file instead of its text, where it says so. */
export interface BenchLine extends ChatLine {
  readonly file?: boolean;
}

/** Where `benchLines` come from, in words. */
export function linesSource(): string {
  return corpusFolder()
    ? 'the chats that BACKSCROLL_CORPUS names'
    : 'made-up chats; BACKSCROLL_CORPUS names no folder of real ones';
}

/** Chat lines without end, the same at every call, conversation by conversation. */
export function benchLines(): AsyncGenerator<ChatLine> {
  const corpus = corpusFolder();
  return endlessly(async function* () {
    if (corpus) for (const file of chatFiles) yield* readChatLines(chatFile(corpus, file));
    else yield* madeUpLines();
  });
}

/** 250 rooms of 1 to about 4,000 messages, half of them short, of words as frequent as real ones. */
function* madeUpLines(): Generator<ChatLine> {
  const random = new Random(20_261_122);
  const words = Array.from({ length: 5_000 }, () => word(random));
  for (let room = 0; room < 250; room++) {
    const length = random.between(1, 20) * random.between(1, room % 2 === 0 ? 1 : 200);
    const people = Array.from({ length: random.between(2, 30) }, () => word(random));
    let time = 1_600_000_000_000 + random.between(0, 1_000_000_000);
    for (let i = 0; i < length; i++) {
      time += random.between(0, 120_000);
      yield {
        conversation: `room ${room}`,
        kind: 'group',
        sender: random.pick(people),
        sent_at_ms: time,
        text: text(random, words),
        id: Buffer.from(random.bytes(12)).toString('hex'),
      };
    }
  }
}

function text(random: Random, words: readonly string[]): string {
  const length = random.between(1, random.oneIn(4) ? 40 : 12);
  // The lower of three draws: few words make most of the text, as in real ones.
  const draw = () =>
    Math.min(random.between(0, 4_999), random.between(0, 4_999), random.between(0, 4_999));
  return Array.from({ length }, () => words[draw()]).join(' ');
}

function word(random: Random): string {
  const letters = () =>
    random.pick(['a', 'e', 'i', 'o', 'u']) + random.pick([...'bcdfghklmnprstvw']);
  return Array.from({ length: random.between(1, 4) }, letters).join('');
}
