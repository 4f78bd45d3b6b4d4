import type { DescService } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { serviceDefinition } from '../../../clients/service-definition.ts';

/** A server whose every answer, delay and break a test decides. */
export interface FakeServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** Breaks all connections; what was not answered fails with UNAVAILABLE. */
  breakOff(): void;
}

/** Serves `handlers`, written as grpc-js wants them, on a free port of this machine or a given one. */
export async function serve(
  desc: DescService,
  handlers: UntypedServiceImplementation,
  port = 0,
): Promise<FakeServer> {
  const server = new Server();
  server.addService(serviceDefinition(desc), handlers);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, taken) =>
      error ? reject(error) : resolve(taken),
    );
  });
  return {
    address: `127.0.0.1:${bound}`,
    port: bound,
    breakOff: () => server.drain(`127.0.0.1:${bound}`, 0),
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}
