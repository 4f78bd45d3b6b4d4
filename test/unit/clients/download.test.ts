import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { Download } from '../../../clients/backup/download.ts';
import type { DownloadAnswer } from '../../../clients/backup/frames-download.ts';
import { BackupSchema } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';

const data: DownloadAnswer = { part: { case: 'data', value: Buffer.from('bytes') } };
const backup: DownloadAnswer = { part: { case: 'backup', value: create(BackupSchema) } };

describe('a download that can not be opened', () => {
  it.each([
    ['begins with bytes', data, () => Promise.resolve(undefined), /what was not asked for/],
    ['has no key', backup, () => Promise.reject(new Error('no key')), /no key/],
  ])('ends its call: it %s', async (_why, answer, sealerOf, message) => {
    let isOpen = false;
    async function* answers() {
      isOpen = true;
      try {
        yield answer;
        yield data;
      } finally {
        isOpen = false;
      }
    }
    const opening = Download.open(answers, sealerOf, 0n, 0, undefined);
    await expect(opening).rejects.toThrow(message);
    expect(isOpen).toBe(false);
  });
});
