/** Clients of the Backscroll services; see README.md. */

export {
  type BackupAge,
  BackupClient,
  type Database,
  type DownloadOptions,
  type DownloadProgress,
  type DownloadToFileOptions,
  type NumberedBackup,
  type UploadOptions,
} from './backup/backup-client.ts';
export { fileSource, type SourceReader, type UploadSource } from './backup/database-file.ts';
export type { Download } from './backup/download.ts';
export { type Restored, type RestoreOptions, restore } from './backup/restore.ts';
export { type Snapshot, type SnapshotOptions, snapshot } from './backup/snapshot.ts';
export type { CopyProgress } from './backup/sqlite-process.ts';
export type { Uploaded, UploadProgress } from './backup/upload.ts';
export type { CallOptions } from './calls.ts';
export type { ChannelOptions } from './channel.ts';
export { BackscrollError, type FieldFault } from './errors.ts';
export type { Backup } from './gen/backscroll/backup/v1/backup_pb.ts';
export type {
  ChangesResult,
  DeleteMessagesResponse,
  EditMessageResponse,
} from './gen/backscroll/history/v1/changes_pb.ts';
export {
  type Group as GroupSettings,
  HistoryVisibility,
  type Member,
  type Profile,
  Role,
} from './gen/backscroll/history/v1/directory_pb.ts';
export type {
  AppendedMessage,
  AppendResponse,
  ImportResponse,
  SyncResult,
} from './gen/backscroll/history/v1/history_pb.ts';
export {
  type Conversation as InboxConversation,
  type Marks,
  MemberState,
} from './gen/backscroll/history/v1/inbox_pb.ts';
export type { Content, Message } from './gen/backscroll/history/v1/message_pb.ts';
export type { ChangeStream, Changes } from './history/change-stream.ts';
export type { Conversation, Group, Pair } from './history/conversation.ts';
export {
  type CreateGroupInit,
  DirectoryClient,
  type GroupOf,
  type MemberInit,
  type ProfileInit,
  type UpdateGroupInit,
} from './history/directory-client.ts';
export { HistoryClient } from './history/history-client.ts';
export {
  type Anchor,
  type AppendInit,
  type ChangesInit,
  type DeleteInit,
  type EditInit,
  type Filter,
  type ImportBatch,
  type ImportRunInit,
  type InboxInit,
  type MarkInit,
  MESSAGE_KINDS,
  type MessageInit,
  type MessageKind,
  type SyncInit,
} from './history/history-requests.ts';
export type { Inbox } from './history/inbox.ts';
export type { SyncPage } from './history/sync-page.ts';
export { type BackupKey, type Passphrase, readKey } from './sealing/backup-key.ts';
export { uuidv7 } from './uuid.ts';
