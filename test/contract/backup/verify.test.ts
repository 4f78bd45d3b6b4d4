import { describe, expect, it } from 'vitest';
import { VerificationState } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { engines } from './engines.ts';
import { age, list } from './transfers.ts';
import { chatDatabase, TestVerifier } from './verification.ts';

const { PASSED } = VerificationState;

describe.each(engines)('verification: %s', (_name, open) => {
  it('passes what is sound', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const backup = await verifier.upload(chatDatabase(1_000));
    expect(backup.verification).toMatchObject({ state: PASSED, reason: '', detail: '' });
    expect((await list(store)).backups[0]?.verification).toEqual(backup.verification);
    expect(await age(store)).toMatchObject({ newestVerifiedNumber: 1n });
  });
});
