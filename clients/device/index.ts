/** What an app on a device builds on; see README.md. Needs Node 24. */

export type { DeviceDownloadOptions, DeviceUploadOptions } from './backups.ts';
export type { Counts } from './counts.ts';
export { Device, type DeviceEvents, type DeviceOptions } from './device.ts';
export type { Deletion, Edit } from './edits.ts';
export type { FileOptions } from './file-options.ts';
export type { FileState } from './file-states.ts';
export type { FileInit, UploadInit } from './file-upload.ts';
export { HttpTransfer } from './http-transfer.ts';
export type { LocalConversation, LocalMarks } from './local-conversation.ts';
export type {
  ConversationName,
  LocalMessage,
  MessageOrigin,
  MessageStatus,
} from './message.ts';
export type { LocalProfile } from './people.ts';
export type { MessageListener, ReadOptions, ReadSession } from './read-session.ts';
export { RESTORE, type RestoreCode } from './restore-codes.ts';
export type { ScheduledResult, ScheduleOptions } from './schedule.ts';
export type { SummaryListener, SummaryOptions, SummarySession } from './summary-session.ts';
export {
  type FetchedFile,
  type FetchOptions,
  type FilePriority,
  FileRefused,
  type FileRequest,
  type TransferHandler,
  type UploadOptions,
  type UploadRequest,
} from './transfer-handler.ts';
export { decideByDefault, type FileDecision } from './transfer-policy.ts';
