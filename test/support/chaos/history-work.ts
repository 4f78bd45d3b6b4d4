import { create } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';
import { callBidi, type Send, typedMethods } from '../../../clients/calls.ts';
import { type Conversation, conversationFields } from '../../../clients/conversation.ts';
import {
  HistoryService,
  type ImportRequest,
  ImportRequestSchema,
  type ImportResponse,
  ImportRunSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { Message } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { HistoryClient, ImportBatch } from '../../../clients/history-client.ts';
import type { Random } from '../random.ts';
import type { Activity } from './activity.ts';
import { conversationKey, type HistoryLedger } from './history-ledger.ts';
import { randomMessage } from './messages.ts';
import { excuse, pause } from './patience.ts';

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
    do {
      using _ = activity.begin('append');
      try {
        const answer = await client.append({ ...name, messages }, { signal });
        const seqs = answer.messages.map((message) => message.seq);
        ledger.acknowledged(name, writer, ids(messages), seqs);
        for (const _message of messages) activity.happened('message appended');
        break;
      } catch (error) {
        excuse(error, `append of ${writer}`);
        await pause(signal);
      }
    } while (patient);
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
    using _ = round.activity.begin('import');
    try {
      const batches = importBatches(round, `${writer} ${call}`, random, sent);
      for await (const answer of openImport(round, batches, patient)) {
        const runs = sent.shift();
        const count = runs?.reduce((sum, run) => sum + run.messages.length, 0);
        if (!runs || count !== answer.added + answer.repeated) {
          throw new Error(`${writer}: an answer for ${count} messages counts otherwise`);
        }
        for (const { name, messages } of runs) {
          round.ledger.acknowledged(name, writer, ids(messages));
        }
        round.activity.happened('batch answered');
      }
      if (sent.length > 0) throw new Error(`${writer}: ${sent.length} batches were not answered`);
    } catch (error) {
      excuse(error, `import of ${writer}`);
      await pause(round.signal);
    }
  }
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
    using _ = activity.begin('sync');
    try {
      const page = client.sync({ ...name, count: random.between(1, 2_000) }, { signal });
      let due: bigint | undefined;
      let count = 0n;
      for await (const frame of page.frames()) {
        activity.happened('frame read');
        for (const { seq } of frame) {
          if (due !== undefined && seq !== due) throw new Error(`a page has ${seq} for ${due}`);
          due = seq - 1n;
          count++;
        }
      }
      const result = await page.result;
      if (result.lastSeq < acknowledged || result.toSeq !== result.lastSeq) {
        const ends = `ends at ${result.toSeq} of ${result.lastSeq}`;
        throw new Error(`${conversationKey(name)} ${ends} and had ${acknowledged} acknowledged`);
      }
      if (result.count !== count || result.toSeq - result.fromSeq + 1n !== count) {
        throw new Error(`a page of ${count} says ${result.count}, from ${result.fromSeq}`);
      }
    } catch (error) {
      excuse(error, 'sync');
      await pause(signal);
    }
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
