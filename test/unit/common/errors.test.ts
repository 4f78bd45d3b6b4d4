import { status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { BackscrollError } from '../../../clients/errors.ts';
import { Code, dataLoss, REASONS } from '../../../services/common/errors.ts';
import { toStatus } from '../../../services/common/status.ts';

test('codes are numbered as gRPC numbers them', () => {
  for (const [name, number] of Object.entries(Code)) expect(status[number]).toBe(name);
});

test('every reason is upper case and told in one line', () => {
  for (const [reason, description] of Object.entries(REASONS)) {
    expect(reason).toMatch(/^[A-Z][A-Z_]+[A-Z]$/);
    expect(description).toMatch(/^\S.{10,110}\.$/);
  }
});

test('an error comes out of its trailers as it went in', () => {
  const sent = dataLoss('DAMAGED', 'page 7 is damaged', {
    fields: [{ field: 'number', description: 'names it' }],
    metadata: { page: '7' },
  });
  const received = BackscrollError.from(Object.assign(new Error('x'), toStatus(sent)));
  expect(received).toMatchObject({
    code: Code.DATA_LOSS,
    reason: 'DAMAGED',
    message: 'page 7 is damaged',
    fields: sent.fields,
    metadata: sent.metadata,
  });
});

test('an error without details has the name of its status for a reason', () => {
  const error = Object.assign(new Error('x'), { code: 14, details: 'no connection' });
  expect(BackscrollError.from(error)).toMatchObject({ code: 14, reason: 'UNAVAILABLE' });
  const other = new TypeError('mine');
  expect(BackscrollError.from(other)).toBe(other);
});
