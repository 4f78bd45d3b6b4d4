import type { Metadata } from '@grpc/grpc-js';
import type { Caller } from './call.ts';

/**
 * Tells who calls, from what came with the call.
 *
 * @throws ServiceError UNAUTHENTICATED where the call does not say it, or not convincingly.
 */
export type Authenticate = (metadata: Metadata) => Caller;

/**
 * Takes every caller for a service. This is why the services listen on loopback alone, unless
 * ALLOW_INSECURE says that something else keeps strangers out.
 */
export const trustEveryCaller: Authenticate = () => ({ kind: 'service' });
