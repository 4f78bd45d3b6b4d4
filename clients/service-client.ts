import type { Client } from '@grpc/grpc-js';
import { type ChannelOptions, openChannel } from './channel.ts';

/** What the clients of all services have in common: one connection, which is closed with them. */
export abstract class ServiceClient implements Disposable, AsyncDisposable {
  /** The connection, for the calls of the classes made from this one. */
  protected readonly channel: Client;

  /** Nothing is sent before the first call. `address`: host and port, such as `localhost:50051`. */
  constructor(address: string, options?: ChannelOptions) {
    this.channel = openChannel(address, options);
  }

  /** Begins no more calls, and closes the connection when those under way have ended. */
  close(): void {
    this.channel.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
