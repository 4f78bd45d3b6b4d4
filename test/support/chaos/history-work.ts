import { create } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';
import { callBidi, type Send, typedMethods } from '../../../clients/calls.ts';
import {
  HistoryService,
  type ImportRequest,
  ImportRequestSchema,
  type ImportResponse,
  ImportRunSchema,
  type SyncResult,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { Message } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import { type Conversation, conversationFields } from '../../../clients/history/conversation.ts';
import type { HistoryClient } from '../../../clients/history/history-client.ts';
import type { ImportBatch } from '../../../clients/history/history-requests.ts';
import type { Random } from '../random.ts';
import type { Activity } from './activity.ts';
import { conversationKey, type HistoryLedger } from './history-ledger.ts';
import { randomMessage } from './messages.ts';
import { attempt, pause } from './patience.ts';

/** What the clients of one round share. */
export interface HistoryRound {
  readonly client: HistoryClient;
  /** To the same service, for calls that the client would repeat. */
  readonly channel: Client;
  readonly activity: Activity;
  readonly ledger: HistoryLedger;
  readonly conversations: readonly Conversation[];
  readonly over: () => boolean;
  readonly signal: AbortSignal;
}

/**
 * Appends a few messages at a time, to one conversation after another. A patient one repeats a call
 * until it is answered; a hasty one never asks what became of a call that failed.
 */
export async function appender(
  round: HistoryRound,
  writer: string,
  random: Random,
  patient: boolean,
): Promise<void> {
  const { client, activity, ledger, signal } = round;
  for (let call = 0; !round.over(); call++) {
    const name = random.pick(round.conversations);
    const messages = makeMessages(random, name, `${writer} ${call}`, random.between(1, 20));
    ledger.sending(name, messages);
    const append = async () => {
      const answer = await client.append({ ...name, messages }, { signal });
      const seqs = answer.messages.map((message) => message.seq);
      ledger.acknowledged(name, writer, ids(messages), seqs);
      for (const _message of messages) activity.happened('message appended');
    };
    let answered: boolean;
    do {
      answered = await attempt(round, 'append', writer, append);
    } while (patient && !answered);
  }
}

/**
 * Imports batches over all conversations, sent ahead of their answers. A patient one goes on behind
 * the last answer after a break; a hasty one begins a new import with other messages.
 */
export async function importer(
  round: HistoryRound,
  writer: string,
  random: Random,
  patient: boolean,
): Promise<void> {
  for (let call = 0; !round.over(); call++) {
    const sent: ImportRuns[] = [];
    await attempt(round, 'import', writer, async () => {
      const batches = importBatches(round, `${writer} ${call}`, random, sent);
      for await (const answer of openImport(round, batches, patient)) {
        takeAnswer(round, writer, sent.shift() ?? [], answer);
      }
      if (sent.length > 0) throw new Error(`${sent.length} batches were not answered`);
    });
  }
}

function takeAnswer(
  { activity, ledger }: HistoryRound,
  writer: string,
  runs: ImportRuns,
  { added, repeated }: ImportResponse,
): void {
  const count = runs.reduce((sum, run) => sum + run.messages.length, 0);
  if (count !== added + repeated) {
    throw new Error(`a batch of ${count} messages was answered with ${added} and ${repeated}`);
  }
  for (const { name, messages } of runs) ledger.acknowledged(name, writer, ids(messages));
  activity.happened('batch answered');
}

/** Reads pages of the conversations while they are written; each must be sound and of the present. */
export async function reader(round: HistoryRound, random: Random): Promise<void> {
  const { client, activity, ledger, signal } = round;
  while (!round.over()) {
    const name = random.pick(round.conversations);
    const acknowledged = ledger.highestSeq(name);
    // A group comes into being with its first message.
    if (acknowledged === 0n) {
      await pause(signal);
      continue;
    }
    await attempt(round, 'sync', conversationKey(name), async () => {
      const page = client.sync({ ...name, count: random.between(1, 1_500) }, { signal });
      const seqs: bigint[] = [];
      for await (const frame of page.frames()) {
        activity.happened('frame read');
        for (const { seq } of frame) seqs.push(seq);
      }
      checkPage(seqs, await page.result, acknowledged);
    });
  }
}

/** Checks a page of the newest messages, newest first: no holes, nothing acknowledged left out. */
function checkPage(seqs: readonly bigint[], result: SyncResult, acknowledged: bigint): void {
  const { count, fromSeq, toSeq, lastSeq } = result;
  for (const [index, seq] of seqs.entries()) {
    const due = lastSeq - BigInt(index);
    if (seq !== due) throw new Error(`a page has seq ${seq} for ${due}`);
  }
  const got = BigInt(seqs.length);
  if (count !== got || toSeq !== lastSeq || fromSeq !== lastSeq - got + 1n) {
    throw new Error(`a page of ${got} says ${count}, from ${fromSeq} to ${toSeq} of ${lastSeq}`);
  }
  if (lastSeq < acknowledged) {
    throw new Error(`a page ends at ${lastSeq}, and ${acknowledged} was acknowledged before`);
  }
}

type ImportRuns = readonly { readonly name: Conversation; readonly messages: readonly Message[] }[];

function* importBatches(
  round: HistoryRound,
  prefix: string,
  random: Random,
  sent: ImportRuns[],
): Generator<ImportBatch> {
  for (let batch = 0; batch < 40 && !round.over(); batch++) {
    const runs = Array.from({ length: random.between(1, 4) }, (_, run) => {
      const name = random.pick(round.conversations);
      const messages = makeMessages(
        random,
        name,
        `${prefix} ${batch} ${run}`,
        random.between(1, 60),
      );
      return { name, messages };
    });
    for (const { name, messages } of runs) round.ledger.sending(name, messages);
    sent.push(runs);
    yield { runs: runs.map(({ name, messages }) => ({ ...name, messages })) };
  }
}

function makeMessages(random: Random, name: Conversation, prefix: string, count: number) {
  const senders = name.group === undefined ? [name.user, name.peer] : ['ana', 'béla', 'chloé'];
  return Array.from({ length: count }, (_, index) =>
    randomMessage(random, `${prefix} ${index}`, random.pick(senders)),
  );
}

function ids(messages: readonly Message[]): string[] {
  return messages.map((message) => message.id);
}

/** A patient import goes on after a break, as the client does by itself; a hasty one is a bare call. */
function openImport(
  { client, channel, signal }: HistoryRound,
  batches: Iterable<ImportBatch>,
  patient: boolean,
): AsyncIterable<ImportResponse> {
  if (patient) return client.import(batches, { signal });
  const send = async (send: Send<ImportRequest>) => {
    for (const batch of batches) await send(importRequest(batch));
  };
  return callBidi(channel, methods.import, send, { signal });
}

const methods = typedMethods(HistoryService);

function importRequest({ runs }: ImportBatch): ImportRequest {
  return create(ImportRequestSchema, {
    runs: runs.map((run) =>
      create(ImportRunSchema, {
        ...conversationFields(run),
        messages: [...run.messages] as Message[],
      }),
    ),
  });
}
