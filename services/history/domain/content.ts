import {
  type Call,
  CallKind,
  CallOutcome,
  type Content,
  type File,
  type Location,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import { CONTENT, MESSAGE_ID_BYTES } from '../limits.ts';
import { type At, checkBytes, checkEnum, checkMost, checkName, type Faults } from './faults.ts';

/** Notes what is wrong with a message's content. Texts may hold anything; the message's size bounds them. */
export function checkContent(faults: Faults, at: At, content: Content): void {
  checkMost(faults, () => `${at()}.files`, content.files.length, CONTENT.files);
  for (const [index, file] of content.files.entries()) {
    checkFile(faults, () => `${at()}.files[${index}]`, file);
  }
  if (content.call) checkCall(faults, () => `${at()}.call`, content.call);
  if (content.location) checkLocation(faults, () => `${at()}.location`, content.location);
  if (content.reply) {
    const { messageId, sender, excerpt } = content.reply;
    checkBytes(faults, () => `${at()}.reply.message_id`, messageId, MESSAGE_ID_BYTES);
    if (sender !== '') checkName(faults, () => `${at()}.reply.sender`, sender);
    checkBytes(faults, () => `${at()}.reply.excerpt`, excerpt, CONTENT.excerptBytes);
  }
  checkBytes(faults, () => `${at()}.thread`, content.thread, CONTENT.threadBytes);
  if (content.opaque) {
    const { scheme } = content.opaque;
    checkBytes(faults, () => `${at()}.opaque.scheme`, scheme, CONTENT.schemeBytes);
  }
}

function checkFile(faults: Faults, at: At, file: File): void {
  checkBytes(faults, () => `${at()}.url`, file.url, CONTENT.urlBytes);
  checkBytes(faults, () => `${at()}.name`, file.name, CONTENT.fileNameBytes);
  checkBytes(faults, () => `${at()}.media_type`, file.mediaType, CONTENT.mediaTypeBytes);
  checkBytes(faults, () => `${at()}.thumbnail`, file.thumbnail, CONTENT.thumbnailBytes);
  checkBytes(faults, () => `${at()}.encryption`, file.encryption, CONTENT.encryptionBytes);
  if (file.sha256.length !== 0 && file.sha256.length !== CONTENT.sha256Bytes) {
    faults.add('INVALID_FIELD', `${at()}.sha256`, `must be ${CONTENT.sha256Bytes} bytes or empty`);
  }
}

function checkCall(faults: Faults, at: At, call: Call): void {
  checkEnum(faults, () => `${at()}.kind`, call.kind, CallKind);
  checkEnum(faults, () => `${at()}.outcome`, call.outcome, CallOutcome);
  checkBytes(faults, () => `${at()}.call_id`, call.callId, CONTENT.callIdBytes);
  checkMost(faults, () => `${at()}.participants`, call.participants.length, CONTENT.participants);
  for (const [index, participant] of call.participants.entries()) {
    const atParticipant = () => `${at()}.participants[${index}]`;
    if (participant === '') faults.add('INVALID_FIELD', atParticipant(), 'must not be empty');
    else checkName(faults, atParticipant, participant);
  }
}

function checkLocation(faults: Faults, at: At, location: Location): void {
  const { latitudeDeg, longitudeDeg, accuracyM, name, address } = location;
  checkNumber(faults, () => `${at()}.latitude_deg`, latitudeDeg, -90, 90);
  checkNumber(faults, () => `${at()}.longitude_deg`, longitudeDeg, -180, 180);
  checkNumber(faults, () => `${at()}.accuracy_m`, accuracyM, 0, Number.MAX_VALUE);
  checkBytes(faults, () => `${at()}.name`, name, CONTENT.placeNameBytes);
  checkBytes(faults, () => `${at()}.address`, address, CONTENT.addressBytes);
}

function checkNumber(faults: Faults, at: At, value: number, min: number, max: number): void {
  // Written so that NaN is refused.
  if (!(value >= min && value <= max)) {
    const description = max < Number.MAX_VALUE ? `must be ${min} to ${max}` : 'must be 0 or more';
    faults.add('INVALID_FIELD', at(), description);
  }
}
