import { once } from 'node:events';
import { connect } from 'node:http2';
import { status } from '@grpc/grpc-js';
import { describe, expect, test, vi } from 'vitest';
import { ImportRequestSchema } from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import { TestProcess } from '../support/processes.ts';
import { bytesOf, KitClient } from './kit-harness.ts';

const MAIN = 'test/rpc/kit-main.ts';

async function addressOf(service: TestProcess): Promise<string> {
  const line = await vi.waitUntil(
    () => service.stdout.split('\n').find((text) => text.includes('"msg":"listening"')),
    20_000,
  );
  return JSON.parse(line).address;
}

describe('the process of a service', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('ends with 0 on %s', async (signal) => {
    await using service = new TestProcess([MAIN]);
    expect(await addressOf(service)).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    expect(await service.kill(signal)).toEqual({ code: 0, signal: null });
    expect(service.stderr).toBe('');
  });

  test("writes nothing past its log, also of what grpc-js doesn't take", async () => {
    await using service = new TestProcess([MAIN]);
    const session = connect(`http://${await addressOf(service)}`);
    const call = session.request({
      ':method': 'POST',
      ':path': '/backscroll.history.v1.HistoryService/Append',
      'content-type': 'application/grpc',
      'x-request-id': 'schl\u00fcssel',
    });
    call.end(Buffer.alloc(5)); // a frame with an empty message
    const [headers] = await once(call, 'response');
    expect(headers['grpc-status']).toBe(String(status.INVALID_ARGUMENT));
    session.destroy();
    expect(await service.kill('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(service.stderr).toBe('');
    for (const line of service.stdout.trim().split('\n')) JSON.parse(line);
  });

  test('ends at once on a second signal', async () => {
    await using service = new TestProcess([MAIN]);
    using client = new KitClient(await addressOf(service));
    const call = client.import().on('error', () => {});
    call.write(bytesOf(ImportRequestSchema, {}));
    await once(call, 'data');
    service.child.kill('SIGTERM');
    await vi.waitUntil(() => service.stdout.includes('NOT_SERVING'), 20_000);
    expect(await service.kill('SIGTERM')).toEqual({ code: 1, signal: null });
  });

  test('prints all faults of its configuration, one a line, and ends with 2', async () => {
    await using service = new TestProcess([MAIN], {
      KIT_LISTEN: '0.0.0.0:1',
      KIT_METRICS_LISTEN: 'nowhere',
      LOG_LEVEL: 'loud',
    });
    expect(await service.exited).toEqual({ code: 2, signal: null });
    expect(service.stdout).toBe('');
    const lines = service.stderr.trimEnd().split('\n');
    expect(lines.map((line) => line.split(':')[0]).sort()).toEqual([
      'KIT_LISTEN',
      'KIT_METRICS_LISTEN',
      'LOG_LEVEL',
    ]);
  });

  test.each(['KIT_LISTEN', 'KIT_METRICS_LISTEN'])(
    'says in one line that it can not listen at %s, and ends with 1',
    async (variable) => {
      await using first = new TestProcess([MAIN]);
      const taken = await addressOf(first);
      await using second = new TestProcess([MAIN], { [variable]: taken });
      expect(await second.exited).toEqual({ code: 1, signal: null });
      expect(second.stdout).not.toContain('listening');
      expect(second.stderr).toBe(
        `${variable}: listen EADDRINUSE: address already in use ${taken}\n`,
      );
    },
  );
});
