import { expect, it } from 'vitest';
import { parseListing } from '../../../services/backup/store/listing.ts';

const object = (key: string, size: string, time = '2026-11-22T06:58:00.139Z') =>
  `<Contents><Key>${key}</Key><LastModified>${time}</LastModified><ETag>&#34;8edc&#34;</ETag>` +
  `<Size>${size}</Size><StorageClass>STANDARD</StorageClass></Contents>`;

const listing = (...objects: string[]) =>
  '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult><Name>b</Name><Prefix>u/</Prefix>' +
  `<IsTruncated>false</IsTruncated>${objects.join('')}<EncodingType>url</EncodingType></ListBucketResult>`;

it('reads a listing', () => {
  const storedAtMs = Date.UTC(2026, 10, 22, 6, 58, 0, 139);
  expect(parseListing(listing())).toEqual([]);
  expect(parseListing(listing(object('u/a', '7'), object('u/%C3%A4+b%2Bc', '0')))).toEqual([
    { key: 'u/a', sizeBytes: 7, storedAtMs },
    { key: 'u/ä b+c', sizeBytes: 0, storedAtMs },
  ]);
});

it('refuses one that is cut off anywhere, and one that can not be', () => {
  const whole = listing(object('u/a', '7'), object('u/b', '8'));
  for (let length = 0; length < whole.length; length++) {
    expect(() => parseListing(whole.slice(0, length))).toThrow();
  }
  for (const wrong of [
    object('u/a', 'many'),
    object('u/a', '1.5'),
    object('u/a', '7', 'yesterday'),
    '<Contents><Key>u/a</Key></Contents>',
  ]) {
    expect(() => parseListing(listing(wrong))).toThrow('can not be read');
  }
});
