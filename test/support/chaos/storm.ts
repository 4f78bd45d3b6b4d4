import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../random.ts';
import type { Activity, CallKind, Happening } from './activity.ts';

/** A process to kill and to start again at the same address, with the same data. */
export interface Victim {
  readonly name: string;
  /** Kills it by SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again; resolves when it answers. */
  start(): Promise<void>;
}

/** A service under load: clients that write and read without pause, and who may be killed meanwhile. */
export interface Storm {
  readonly name: string;
  readonly activity: Activity;
  /** Sets of victims that are killed together, in the order in which they start again. */
  readonly victims: readonly (readonly Victim[])[];
  /** What kills wait for, and how often it may happen between two of them. */
  readonly triggers: readonly { readonly what: Happening; readonly most: number }[];
  /**
   * Lets clients loose until `over`; resolves when the last one has ended its last call. Rejects when
   * the service does what no kill excuses, or the signal fires.
   */
  work(random: Random, over: () => boolean, signal: AbortSignal): Promise<void>;
  /** Reads back what the work since the last check wrote; nothing may be in flight. */
  check(signal: AbortSignal): Promise<Check>;
  /** Reads back what all work since the beginning wrote. */
  recheck(signal: AbortSignal): Promise<Check>;
}

/** What a check found. */
export interface Check {
  /** One line for each promise that was broken; empty where all was kept. */
  readonly faults: string[];
  /** What was compared, in words. */
  readonly checked: string;
}

/** One kill, and what it hit. */
export interface Kill {
  readonly victims: string;
  readonly trigger: string;
  readonly inFlight: Partial<Record<CallKind, number>>;
}

/** Longest that it may take to the next kill, or that a check may take, in milliseconds: what takes longer hangs. */
const roundLimitMs = 480_000;

/**
 * One round: work, `kills` kills in the middle of it, an end, and a check of everything that was
 * promised. Resolves to what was checked; throws with all faults where a promise was broken, and where
 * something hangs.
 */
export async function rageRound(
  storm: Storm,
  random: Random,
  kills: number,
  onKill: (kill: Kill) => void = () => {},
): Promise<string> {
  const limit = new AbortController();
  const timer = setTimeout(() => {
    const inFlight = JSON.stringify(storm.activity.inFlight());
    limit.abort(new Error(`${storm.name}: hangs; in flight: ${inFlight}`));
  }, roundLimitMs);
  try {
    let over = false;
    const work = storm.work(random.fork(), () => over, limit.signal);
    const done: Kill[] = [];
    const strikes = async () => {
      while (done.length < kills) {
        const kill = await strike(storm, random, done.length === 0, limit.signal);
        done.push(kill);
        onKill(kill);
        timer.refresh();
      }
    };
    try {
      await Promise.race([strikes(), work]);
    } finally {
      over = true;
    }
    await work;
    timer.refresh();
    const { faults, checked } = await storm.check(limit.signal);
    if (faults.length > 0) throw new Error(`${storm.name}: ${describe(faults, done)}`);
    return checked;
  } finally {
    clearTimeout(timer);
  }
}

async function strike(
  storm: Storm,
  random: Random,
  first: boolean,
  signal: AbortSignal,
): Promise<Kill> {
  const victims = random.pick(storm.victims);
  const trigger = await moment(storm, random, first, signal);
  const inFlight = storm.activity.inFlight();
  await Promise.all(victims.map((victim) => victim.kill()));
  for (const victim of victims) await victim.start();
  return { victims: victims.map((victim) => victim.name).join(' and '), trigger, inFlight };
}

/** Waits for the moment of a kill, and describes it: after some progress, or as soon as all is back. */
async function moment(
  storm: Storm,
  random: Random,
  first: boolean,
  signal: AbortSignal,
): Promise<string> {
  if (!first && random.oneIn(6)) return 'the last start';
  const { what, most } = random.pick(storm.triggers);
  const times = random.between(1, most);
  const delayMs = random.between(0, 5);
  await storm.activity.after(what, times, signal);
  if (delayMs > 0) await delay(delayMs);
  return `${times} × ${what} and ${delayMs} ms`;
}

/** A kill in a line. */
export function describeKill({ victims, trigger, inFlight }: Kill): string {
  const calls = Object.entries(inFlight).map(([kind, count]) => `${count} ${kind}`);
  return `killed ${victims} after ${trigger}; in flight: ${calls.join(', ') || 'nothing'}`;
}

function describe(faults: string[], kills: Kill[]): string {
  const shown = faults.slice(0, 20).join('\n  ');
  return `${faults.length} promises broken\n  ${shown}\nafter\n  ${kills.map(describeKill).join('\n  ')}`;
}
