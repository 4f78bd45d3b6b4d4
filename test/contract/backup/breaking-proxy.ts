import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What a proxy does with bytes: pass them on, swallow them, or break connections. */
export type Trouble = 'none' | 'silent' | 'reset' | 'answers lost' | 'answers kept';

/** A TCP proxy before a store, which makes trouble on demand. */
export class BreakingProxy implements AsyncDisposable {
  /** Trouble of connections, old and new, from now on. */
  trouble: Trouble = 'none';
  /** Bytes to the other end after which a connection is reset. */
  resetAfterBytes = Number.POSITIVE_INFINITY;
  /** Connections on which trouble was made so far. */
  troubled = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens on a port of the system's choice, and passes on to that of the store. */
  static async start(host: string, port: number): Promise<BreakingProxy> {
    const server = createServer();
    const proxy = new BreakingProxy(server);
    server.on('connection', (near) => proxy.#join(near, connect(port, host)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Breaks all connections that there are. */
  breakOff(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.breakOff();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(near: Socket, far: Socket): void {
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    let passedBytes = 0;
    near.on('data', (bytes) => {
      passedBytes += bytes.length;
      if (passedBytes > this.resetAfterBytes) this.#reset(near);
      else if (this.trouble === 'silent') this.troubled += 1;
      else if (this.trouble === 'reset') this.#reset(near);
      else far.write(bytes);
    });
    far.on('data', (bytes) => {
      if (this.trouble === 'answers lost') this.#reset(near);
      else if (this.trouble !== 'silent' && this.trouble !== 'answers kept') near.write(bytes);
    });
  }

  #reset(socket: Socket): void {
    this.troubled += 1;
    socket.resetAndDestroy();
  }
}
