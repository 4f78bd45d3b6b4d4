/** A client in a process of its own, to be killed: opens one call of each kind, and tells when all run. */
import { once } from 'node:events';
import {
  AppendRequestSchema,
  ImportRequestSchema,
} from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import { bytesOf, KitClient } from './kit-harness.ts';

const [address = ''] = process.argv.slice(2);
const client = new KitClient(address);
client.append(bytesOf(AppendRequestSchema, {})).catch(console.error);
const page = client.sync(bytesOf(AppendRequestSchema, {}));
const batches = client.import();
batches.write(bytesOf(ImportRequestSchema, {}));
await Promise.all([once(page, 'readable'), once(batches, 'readable')]);
console.log('running');
