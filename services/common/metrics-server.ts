import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { formatAddress, type ListenAddress } from './config.ts';

/** A listening metrics endpoint. */
export interface MetricsServer extends AsyncDisposable {
  /** `host:port`, with the port that the system chose. */
  readonly address: string;
}

/**
 * Serves `GET /metrics` in Prometheus' text format.
 *
 * @throws the system's error when it can't listen there
 */
export async function serveMetrics(
  registry: Registry,
  listen: ListenAddress,
): Promise<MetricsServer> {
  const server = createServer(async (request, response) => {
    if (request.url !== '/metrics' || request.method !== 'GET') {
      response.writeHead(404).end();
      return;
    }
    try {
      const text = await registry.metrics();
      response.writeHead(200, { 'content-type': registry.contentType }).end(text);
    } catch {
      response.writeHead(500).end();
    }
  });
  server.listen(listen.port, listen.host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    address: formatAddress({ host: listen.host, port }),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
