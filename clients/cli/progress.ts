import cliProgress from 'cli-progress';

/** Shows how far something has come. */
export interface Progress {
  /** How far it is, and how far it goes in all, as far as is known; nothing is shown before the first time. */
  update(value: number, total: number): void;
  /** What stands behind the bar. */
  note(text: string): void;
  /** Takes the bar away; what is told later is not shown. */
  stop(): void;
}

/**
 * A bar on standard error, where that is a terminal; nothing otherwise, or while the total is 0.
 * `inUnits` tells a value in the user's units.
 */
export function progressBar(label: string, inUnits: (value: number) => string): Progress {
  if (!process.stderr.isTTY) return { update() {}, note() {}, stop() {} };
  const bar = new cliProgress.SingleBar({
    format: `${label} {bar} {percentage}% {value} of {total} {note}`,
    formatValue: (value, _options, type) =>
      type === 'value' || type === 'total' ? inUnits(value) : String(value),
    clearOnComplete: true,
    hideCursor: true,
  });
  let stopped = false;
  return {
    update: (value, total) => {
      if (total > 0 && !bar.isActive && !stopped) bar.start(total, 0, { note: '' });
      bar.setTotal(total);
      bar.update(Math.min(value, total));
    },
    note: (text) => bar.update({ note: text }),
    stop: () => {
      stopped = true;
      bar.stop();
    },
  };
}

/** Bytes in the unit that reads best. */
export function inBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}
