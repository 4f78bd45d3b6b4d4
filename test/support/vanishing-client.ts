/**
 * A client to be killed: `vanishing-client.ts KIND ADDRESS` begins one call, writes "under way" when the
 * service has answered something, and then neither reads, nor sends, nor ends. It speaks gRPC with the
 * transport's own small windows, so that what it does not read stays with the service.
 */
import { create } from '@bufbuild/protobuf';
import { Client, credentials, Metadata, type MethodDefinition } from '@grpc/grpc-js';
import { typedMethods } from '../../clients/calls.ts';
import {
  BackupService,
  DownloadBackupRequestSchema,
  UploadBackupRequestSchema,
} from '../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import {
  HistoryService,
  ImportRequestSchema,
  SyncRequestSchema,
} from '../../clients/gen/backscroll/history/v1/history_pb.ts';

const history = typedMethods(HistoryService);
const backup = typedMethods(BackupService);
const [kind = '', address = ''] = process.argv.slice(2);
const client = new Client(address, credentials.createInsecure());

const calls: Record<string, () => void> = {
  sync: () =>
    readOnce(
      history.sync,
      create(SyncRequestSchema, {
        conversation: { case: 'group', value: 'long' },
        count: 1_000_000,
      }),
    ),
  download: () =>
    readOnce(backup.downloadBackup, create(DownloadBackupRequestSchema, { user: 'ana' })),
  import: () =>
    sendAll(history.import, [
      create(ImportRequestSchema, {
        runs: [{ conversation: { case: 'group', value: 'vanished' }, messages: [{ id: '1' }] }],
      }),
    ]),
  upload: () =>
    sendAll(backup.uploadBackup, [
      create(UploadBackupRequestSchema, {
        part: { case: 'start', value: { user: 'gone', sizeBytes: 64n << 20n, opaque: true } },
      }),
      ...Array.from({ length: 40 }, () =>
        create(UploadBackupRequestSchema, {
          part: { case: 'data', value: new Uint8Array(1 << 18) },
        }),
      ),
    ]),
};
calls[kind]?.();

function readOnce<Req, Res>(method: MethodDefinition<Req, Res>, request: Req): void {
  const call = client.makeServerStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
    new Metadata(),
  );
  call.on('error', fail).once('data', () => {
    call.pause();
    underWay();
  });
}

function sendAll<Req, Res>(method: MethodDefinition<Req, Res>, requests: readonly Req[]): void {
  const call = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    new Metadata(),
  );
  call.on('error', fail).once('data', () => {
    call.pause();
    underWay();
  });
  for (const request of requests) call.write(request);
}

function underWay(): void {
  process.stdout.write('under way\n');
  setInterval(() => {}, 60_000);
}

function fail(error: Error): void {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
}
