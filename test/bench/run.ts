/** `npm run bench`: measures the services beside their drivers alone. See --help. */
import { parseArgs } from 'node:util';
import { measureAppendGrowth, measureAppends } from './appends.ts';
import { fillDevice, measureChanges, measureMemory, measureTransfer } from './backup.ts';
import { measureDays } from './backup-days.ts';
import { measureDevice } from './device.ts';
import { fillChanges, measureFiltered, measureGrowth } from './growth.ts';
import { fillHistory, measureImport, measurePages, measureSync } from './history.ts';
import { fillInbox, measureInbox } from './inbox.ts';
import { type Result, table } from './result.ts';
import { type Bench, startBench } from './setup.ts';

const names = [
  ...(['sync', 'pages', 'filtered', 'inbox', 'growth', 'append', 'import'] as const),
  ...(['transfer', 'changes', 'days', 'device'] as const),
] as const;

type Name = (typeof names)[number];

/** What uploads a chat database. */
const backsUp: readonly Name[] = ['transfer', 'changes', 'days'];

/** What reads the long conversation. */
const readsHistory: readonly Name[] = ['sync', 'pages', 'filtered', 'inbox', 'growth'];

const help = `npm run bench [-- OPTIONS]

Measures both services on a real MySQL and a real MinIO beside the drivers alone: medians of three
or five interleaved rounds, with client, services and baseline in processes of their own. Takes about
half an hour on two cores. Ends with 1 if something falls short of its reach.

  --only NAME  only this: ${names.join(', ')}; may be repeated
  --mib N      size of the chat database that is backed up: 1024 unless told otherwise
  --json       one JSON object a line instead of a table
  --help       this

BACKSCROLL_CORPUS names a folder of real chats; without it made-up ones serve.
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    mib: { type: 'string', default: '1024' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const wanted = names.filter((name) => values.only?.includes(name) ?? true);
const unknown = values.only?.filter((name) => !names.some((known) => known === name)) ?? [];
const mib = Number(values.mib);
if (values.help) {
  console.log(help);
} else if (unknown.length > 0) {
  console.error(`There is nothing called ${unknown.join(', ')} to measure.\n\n${help}`);
  process.exitCode = 2;
} else if (!(mib >= 1)) {
  console.error(`A database of ${values.mib} MiB can't be made.\n\n${help}`);
  process.exitCode = 2;
} else {
  process.exitCode = (await main(wanted, values.json)) ? 0 : 1;
}

/** Measures and prints; resolves to whether all reaches are reached. */
async function main(wanted: readonly Name[], json: boolean): Promise<boolean> {
  const results: Result[] = [];
  await using bench = await step('starting', startBench);
  console.error(bench.description);
  for await (const result of measure(bench, wanted)) {
    results.push(result);
    if (json) console.log(JSON.stringify(result));
  }
  if (!json) console.log(`\n${bench.description}\n\n${table(results)}`);
  const missed = results.filter((result) => result.reached === false);
  for (const { name } of missed) console.error(`falls short: ${name}`);
  return missed.length === 0;
}

async function* measure(bench: Bench, wanted: readonly Name[]): AsyncGenerator<Result> {
  if (wanted.some((name) => readsHistory.includes(name))) {
    await step('importing a long conversation', () => fillHistory(bench));
  }
  if (wanted.includes('sync')) yield* await step('sync', () => measureSync(bench));
  if (wanted.includes('pages')) yield* await step('pages', () => measurePages(bench));
  if (wanted.includes('filtered')) {
    yield* await step('filtered', () => measureFiltered(bench));
  }
  if (wanted.includes('inbox')) {
    await step('making inboxes', () => fillInbox(bench));
    yield* await step('inbox', () => measureInbox(bench));
  }
  if (wanted.includes('growth')) {
    await step('editing messages', () => fillChanges(bench));
    yield* await step('growth', () => measureGrowth(bench));
    yield* await step('growth of appends', () => measureAppendGrowth(bench));
  }
  if (wanted.includes('append')) yield* await step('append', () => measureAppends(bench));
  if (wanted.includes('import')) yield* await step('import', () => measureImport(bench));
  if (wanted.includes('device')) {
    for await (const result of measureDevice(bench, mib)) {
      console.error(`    ${result.name}: ${result.ratio.toFixed(3)}`);
      yield result;
    }
  }
  if (!wanted.some((name) => backsUp.includes(name))) return;
  await using device = await step('building a chat database', () => fillDevice(bench, mib));
  if (wanted.includes('transfer')) {
    yield* await step('transfer', () => measureTransfer(bench, device));
  }
  if (wanted.includes('changes')) yield* await step('changes', () => measureChanges(bench, device));
  if (wanted.includes('days')) yield* await step('days', () => measureDays(bench, device));
  yield* await measureMemory(bench, device);
}

/** Says on standard error what is done, and how long it took. */
async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  const began = Date.now();
  console.error(`  ${name} …`);
  const done = await work();
  console.error(`  ${name}: ${Math.round((Date.now() - began) / 1000)} s`);
  return done;
}
