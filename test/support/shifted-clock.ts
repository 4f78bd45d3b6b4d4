/** Preloaded into a process whose clock is to be wrong: it is ahead by CLOCK_AHEAD_MS milliseconds. */
const aheadMs = Number(process.env.CLOCK_AHEAD_MS);
const RealDate = Date;

globalThis.Date = class extends RealDate {
  constructor(...parts: [] | [number | string]) {
    if (parts.length === 0) super(RealDate.now() + aheadMs);
    else super(...parts);
  }

  static override now(): number {
    return RealDate.now() + aheadMs;
  }
} as DateConstructor;
