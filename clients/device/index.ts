/** What an app on a device builds on; see README.md. Needs Node 24. */

export type { DeviceDownloadOptions, DeviceUploadOptions } from './backups.ts';
export type { Counts } from './counts.ts';
export { Device, type DeviceEvents, type DeviceOptions } from './device.ts';
export type { Deletion, Edit } from './edits.ts';
export type {
  ConversationName,
  LocalMessage,
  MessageOrigin,
  MessageStatus,
} from './message.ts';
export type { MessageListener, ReadOptions, ReadSession } from './read-session.ts';
export { RESTORE, type RestoreCode } from './restore-codes.ts';
export type { ScheduledResult, ScheduleOptions } from './schedule.ts';
