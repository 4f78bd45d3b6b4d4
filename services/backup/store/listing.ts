import type { StoredObject } from './store.ts';

/**
 * Reads what MinIO answers to ListObjectsV2 with URL-encoded keys. Throws where that is not whole.
 *
 * The client library's own reader of XML takes as long as the request for 30 objects, and takes an
 * answer that is cut off for a short one.
 */
export function parseListing(xml: string): StoredObject[] {
  if (!xml.trimEnd().endsWith('</ListBucketResult>')) throw new Error('the listing ends early');
  return xml.split('<Contents>').slice(1).map(parseObject);
}

function parseObject(xml: string): StoredObject {
  const key = fieldOf(xml, 'Key');
  const sizeBytes = Number(fieldOf(xml, 'Size'));
  const storedAtMs = Date.parse(fieldOf(xml, 'LastModified'));
  if (!Number.isSafeInteger(sizeBytes) || Number.isNaN(storedAtMs)) throw unreadable();
  return { key: decodeURIComponent(key.replaceAll('+', ' ')), sizeBytes, storedAtMs };
}

function fieldOf(xml: string, name: string): string {
  const [start, end] = [xml.indexOf(`<${name}>`), xml.indexOf(`</${name}>`)];
  if (start === -1 || end === -1) throw unreadable();
  return xml.slice(start + name.length + 2, end);
}

function unreadable(): Error {
  return new Error('the listing can not be read');
}
