import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createGunzip, gunzipSync } from 'node:zlib';

/** One line of a chat file, as `backscroll import` reads it. */
export interface ChatLine {
  readonly conversation: string;
  readonly kind: 'group' | 'direct';
  readonly sender: string;
  readonly sent_at_ms: number;
  readonly text: string;
  readonly id: string;
}

/** What a conversation must hold after its lines were imported. */
export interface ChatConversation {
  readonly name: string;
  readonly kind: ChatLine['kind'];
  /** Its messages in the order of the file, each id once. */
  readonly messages: ChatLine[];
  /** Lines that repeat an earlier one. */
  repeats: number;
}

/** Chat files of the corpus, without `.ndjson.gz`. */
export const chatFiles = ['gitter', 'persona', 'ubuntu'] as const;

/** Folder of the real input, which BACKSCROLL_CORPUS names; undefined where it names none. */
export function corpusFolder(): string | undefined {
  return process.env.BACKSCROLL_CORPUS || undefined;
}

/** Path of one chat file of the corpus. */
export function chatFile(corpus: string, name: (typeof chatFiles)[number]): string {
  return join(corpus, 'chat', `${name}.ndjson.gz`);
}

/**
 * The lines of a file of chat lines, gzipped where it ends with `.gz`. Splits at LF alone: texts hold
 * the other line separators of Unicode.
 */
export async function* readChatLines(path: string): AsyncGenerator<ChatLine> {
  const file = createReadStream(path);
  const bytes = path.endsWith('.gz') ? file.pipe(createGunzip()) : file;
  if (bytes !== file) file.on('error', (error) => bytes.destroy(error));
  let rest = '';
  for await (const chunk of bytes.setEncoding('utf8')) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield JSON.parse(line) as ChatLine;
  }
  if (rest !== '') yield JSON.parse(rest) as ChatLine;
}

/** Collects what an import of these lines must leave, by conversation, in the order of first lines. */
export async function expectedConversations(
  lines: AsyncIterable<ChatLine> | Iterable<ChatLine>,
): Promise<ChatConversation[]> {
  const found = new Map<string, { conversation: ChatConversation; ids: Set<string> }>();
  for await (const line of lines) {
    const key = `${line.kind} ${line.conversation}`;
    let entry = found.get(key);
    if (!entry) {
      const conversation = { name: line.conversation, kind: line.kind, messages: [], repeats: 0 };
      entry = { conversation, ids: new Set() };
      found.set(key, entry);
    }
    if (entry.ids.has(line.id)) {
      entry.conversation.repeats++;
    } else {
      entry.ids.add(line.id);
      entry.conversation.messages.push(line);
    }
  }
  return [...found.values()].map((entry) => entry.conversation);
}

/** The regular files of a gzipped tar archive, by their base names. */
export function readTarGz(path: string): Map<string, Buffer> {
  const tar = gunzipSync(readFileSync(path));
  const files = new Map<string, Buffer>();
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const header = tar.subarray(at, at + 512);
    const name = text(header.subarray(0, 100));
    const size = Number.parseInt(text(header.subarray(124, 136)), 8);
    const type = String.fromCharCode(header[156] ?? 0);
    at += 512;
    if (type === '0' || type === '\0') {
      files.set(name.slice(name.lastIndexOf('/') + 1), tar.subarray(at, at + size));
    } else if (type !== '5') {
      throw new Error(`${path}: cannot read tar entries of type ${type}`);
    }
    at += Math.ceil(size / 512) * 512;
  }
  return files;
}

function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end).trim();
}
