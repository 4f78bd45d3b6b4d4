import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { MessageSchema } from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import { BackupLedger } from '../support/chaos/backup-ledger.ts';
import { HistoryLedger } from '../support/chaos/history-ledger.ts';

const room = { group: 'room' };

function message(id: string, seq = 0, text = id) {
  return create(MessageSchema, { id, seq: BigInt(seq), sender: 'ana', content: { text } });
}

function historyOfFour(): HistoryLedger {
  const ledger = new HistoryLedger();
  ledger.sending(
    room,
    ['a', 'b', 'c', 'd'].map((id) => message(id)),
  );
  ledger.acknowledged(room, 'writer', ['a', 'b'], [1n, 2n]);
  ledger.acknowledged(room, 'writer', ['c']);
  return ledger;
}

describe('the history ledger', () => {
  const good = [message('a', 1), message('b', 2), message('c', 3)];

  test.each([
    ['all acknowledged messages', good],
    ['an unacknowledged message that was stored', [...good, message('d', 4)]],
    ['one that was stored amid others', [...good.slice(0, 2), message('d', 3), message('c', 4)]],
  ])('accepts %s', (_, stored) => {
    expect(historyOfFour().faults(room, stored)).toEqual([]);
  });

  test.each([
    ['a loss', good.slice(0, 2), 'lost: c was acknowledged'],
    ['an empty conversation', [], 'lost: a was acknowledged'],
    ['a double', [...good, message('b', 4)], 'doubled: b at 2 and 4'],
    [
      'a double of an unacknowledged one',
      [...good, message('d', 4), message('d', 5)],
      'doubled: d at 4 and 5',
    ],
    ['a hole', [...good.slice(0, 2), message('c', 4)], 'hole: seq 4 where 3 was due'],
    ['a seq used twice', [...good, message('d', 3)], 'hole: seq 3 where 4 was due'],
    ['another text', [...good.slice(0, 2), message('c', 3, 'C')], 'altered: c'],
    ['a stray edit', [...good.slice(0, 2), { ...message('c', 3), editedAtMs: 1n }], 'altered: c'],
    ['a stranger', [...good, message('x', 4)], 'unknown: x was never sent'],
    [
      'other seqs than told',
      [message('b', 1), message('a', 2), message('c', 3)],
      'moved: a was acknowledged at 1 and is at 2',
    ],
    [
      'an order not acknowledged',
      [message('c', 1), message('a', 2), message('b', 3)],
      'disorder: c of writer at 1, behind 3',
    ],
  ])('detects %s', (_, stored, fault) => {
    expect(historyOfFour().faults(room, stored)).toContain(`group room: ${fault}`);
  });

  test('keeps the two sides of a pair together, and counts', () => {
    const ledger = historyOfFour();
    ledger.sending({ user: 'a', peer: 'b' }, [message('p')]);
    ledger.acknowledged({ user: 'b', peer: 'a' }, 'writer', ['p'], [7n]);
    expect(ledger.names()).toHaveLength(2);
    expect(ledger.highestSeq({ user: 'a', peer: 'b' })).toBe(7n);
    expect(ledger.acknowledgedCount()).toBe(4);
  });
});

describe('the backup ledger', () => {
  function backupsOfThree(): BackupLedger {
    const ledger = new BackupLedger();
    for (const id of ['u1', 'u2', 'u3']) ledger.sending('ana', id, `sha of ${id}`);
    ledger.acknowledged('ana', 'u1', 1n);
    ledger.acknowledged('ana', 'u2', 2n);
    return ledger;
  }
  const backup = (number: bigint, uploadId: string, sha256 = `sha of ${uploadId}`) => ({
    number,
    uploadId,
    sha256,
  });
  const good = [backup(2n, 'u2'), backup(1n, 'u1')];

  test.each([
    ['what was acknowledged', good],
    ['a whole upload that was not', [backup(5n, 'u3'), ...good]],
  ])('accepts %s', (_, listed) => {
    expect(backupsOfThree().faults('ana', listed)).toEqual([]);
  });

  test.each([
    ['a loss', good.slice(0, 1), 'lost: u1 was acknowledged as 1'],
    ['a double', [backup(3n, 'u2'), ...good], 'doubled: u2 is 3 and 2'],
    ['a torn backup', [backup(3n, 'u3', 'half'), ...good], 'torn: 3 is not what u3 sent'],
    [
      'a torn acknowledged one',
      [backup(2n, 'u2', 'half'), backup(1n, 'u1')],
      'torn: 2 is not what u2 sent',
    ],
    ['a stranger', [backup(3n, 'u9'), ...good], 'unknown: 3 is of u9, which was never sent'],
    [
      'another number',
      [backup(3n, 'u2'), backup(1n, 'u1')],
      'renumbered: u2 was acknowledged as 2, is 3',
    ],
    ['a wrong order', [...good].reverse(), 'order: 2 below 1'],
  ])('detects %s', (_, listed, fault) => {
    expect(backupsOfThree().faults('ana', listed)).toContain(`ana: ${fault}`);
  });

  describe('where backups are deleted', () => {
    function lastTwoKept(): BackupLedger {
      const ledger = new BackupLedger(2);
      for (const [at, id] of ['u1', 'u2', 'u3', 'u4'].entries()) {
        ledger.sending('ana', id, `sha of ${id}`);
        ledger.acknowledged('ana', id, BigInt(at + 1));
      }
      ledger.deleting('ana', 'u1', 'acknowledged');
      ledger.deleting('ana', 'u2', 'asked');
      return ledger;
    }
    const newest = [backup(4n, 'u4'), backup(3n, 'u3')];

    test.each([
      ['what must be kept', newest],
      ['one whose deletion was not answered', [...newest, backup(2n, 'u2')]],
      ['one less, where a newer one is listed', [backup(5n, 'u5'), backup(4n, 'u4')]],
    ])('accepts %s', (_, listed) => {
      const ledger = lastTwoKept();
      ledger.sending('ana', 'u5', 'sha of u5');
      expect(ledger.faults('ana', listed)).toEqual([]);
    });

    test.each([
      ['the loss of one that must be kept', [backup(4n, 'u4')], 'lost: u3 was acknowledged as 3'],
      ['one that came back', [...newest, backup(1n, 'u1')], 'undead: u1 was deleted, and is 1'],
    ])('detects %s', (_, listed, fault) => {
      expect(lastTwoKept().faults('ana', listed)).toEqual([`ana: ${fault}`]);
    });

    test('tells which may be deleted', () => {
      expect(lastTwoKept().older('ana')).toEqual([['u3', 3n]]);
    });
  });

  test('tells the newest number and what was sent', () => {
    const ledger = backupsOfThree();
    expect(ledger.newestNumber('ana')).toBe(2n);
    expect(ledger.digestOf('ana', 'u3')).toBe('sha of u3');
    expect(ledger.acknowledgedCount()).toBe(2);
    expect(ledger.databases()).toEqual(['ana']);
  });
});
