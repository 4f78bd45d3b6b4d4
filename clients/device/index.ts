/** What an app on a device builds on; see README.md. Needs Node 24. */

export type {
  DeviceBackupOptions,
  DeviceDownloadOptions,
  DeviceUploadOptions,
} from './backup/backups.ts';
export { RESTORE, type RestoreCode } from './backup/restore-codes.ts';
export type { ScheduledResult, ScheduleOptions } from './backup/schedule.ts';
export { Device, type DeviceEvents, type DeviceOptions } from './device.ts';
export type { FileOptions } from './files/file-options.ts';
export type { FileState } from './files/file-states.ts';
export type { FileInit, UploadInit } from './files/file-upload.ts';
export { HttpTransfer } from './files/http-transfer.ts';
export {
  type FetchedFile,
  type FetchOptions,
  type FilePriority,
  FileRefused,
  type FileRequest,
  type TransferHandler,
  type UploadOptions,
  type UploadRequest,
} from './files/transfer-handler.ts';
export { decideByDefault, type FileDecision } from './files/transfer-policy.ts';
export type { Counts } from './local/counts.ts';
export type { LocalConversation, LocalMarks } from './local/local-conversation.ts';
export type {
  ConversationName,
  LocalMessage,
  MessageOrigin,
  MessageStatus,
} from './local/message.ts';
export type { Deletion, Edit } from './sync/edits.ts';
export type { LocalProfile } from './sync/people.ts';
export type { Ahead, MessageListener, ReadOptions, ReadSession } from './sync/read-session.ts';
export type { SummaryListener, SummaryOptions, SummarySession } from './sync/summary-session.ts';
