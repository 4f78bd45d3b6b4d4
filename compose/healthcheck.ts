/**
 * Asks a gRPC server for the health of one of its services; ends with 0 if it is SERVING.
 *
 *     node compose/healthcheck.ts 127.0.0.1:50051 backscroll.history.v1.HistoryService
 */
import * as grpc from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';

/** Longest wait for an answer; a little less than the time docker-compose.yml gives a check. */
const TIMEOUT_MS = 4_000;

/**
 * The status of a service as its server tells it: `SERVING`, `NOT_SERVING` or `UNKNOWN`. Rejects
 * with the gRPC error where the server does not know the service, or does not answer in time.
 */
export async function health(address: string, service: string): Promise<string> {
  const { path, requestSerialize, responseDeserialize } = healthService.Check!;
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const { promise, resolve, reject } = Promise.withResolvers<object | undefined>();
  client.makeUnaryRequest(
    path,
    requestSerialize,
    responseDeserialize,
    { service },
    { deadline: Date.now() + TIMEOUT_MS },
    (error, answer) => (error ? reject(error) : resolve(answer)),
  );
  const answer = await promise.finally(() => client.close());
  return answer && 'status' in answer ? String(answer.status) : 'UNKNOWN';
}

if (import.meta.main) {
  const [address = '', service = ''] = process.argv.slice(2);
  const status = await health(address, service).catch((error: Error) => error.message);
  console.log(status); // what `docker inspect` shows of a failed check
  process.exitCode = status === 'SERVING' ? 0 : 1;
}
