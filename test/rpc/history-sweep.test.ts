import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  AppendRequestSchema,
  SyncRequestSchema,
  type SyncResponse,
} from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import { readHistoryConfig } from '../../services/history/config.ts';
import { startHistory } from '../../services/history/service.ts';
import { eventually } from '../support/eventually.ts';
import { bytesOf, collect, KitClient } from './kit-harness.ts';

it('removes in the background what is older than the configuration keeps', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'sweep-'));
  const config = readHistoryConfig({
    HISTORY_DATABASE_URL: `sqlite:${join(folder.path, 'history.db')}`,
    HISTORY_LISTEN: '127.0.0.1:0',
    HISTORY_METRICS_LISTEN: '127.0.0.1:0',
    HISTORY_RETENTION_DAYS: '1',
    HISTORY_SWEEP_SECONDS: '1',
    LOG_LEVEL: 'silent',
  });
  await using server = await startHistory(config);
  using client = new KitClient(server.address);
  const conversation = { case: 'peer', value: 'bob' } as const;
  const messages = [1n, 2n, BigInt(Date.now())].map((sentAtMs) => ({ sentAtMs }));
  await client.append(bytesOf(AppendRequestSchema, { user: 'alice', conversation, messages }));

  const request = bytesOf(SyncRequestSchema, { user: 'alice', conversation });
  await eventually(async () => {
    const frames = await collect<SyncResponse>(client.sync(request));
    expect(frames.flatMap(({ messages }) => messages.map(({ seq }) => seq))).toEqual([3n]);
    expect(frames.at(-1)?.result).toMatchObject({ floorSeq: 3n, reachedOldest: true });
  });

  const metrics = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
  expect(metrics).toMatch(/^history_sweep_rows_total{job="retained"} 2$/m);
  expect(metrics).toMatch(/^history_sweep_age_seconds \d/m);
});
