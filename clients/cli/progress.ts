import cliProgress from 'cli-progress';

/** Shows how far something has come. */
export interface Progress {
  /** How far it is, in the unit of the total. */
  update(value: number): void;
  /** What stands behind the bar. */
  note(text: string): void;
  /** Takes the bar away. */
  stop(): void;
}

/**
 * Shows a bar on standard error, where that is a terminal and a total is known; nothing otherwise.
 * `inUnits` tells a value in the user's units.
 */
export function showProgress(
  label: string,
  total: number,
  inUnits: (value: number) => string,
): Progress {
  if (!process.stderr.isTTY || total <= 0) return { update() {}, note() {}, stop() {} };
  const bar = new cliProgress.SingleBar({
    format: `${label} {bar} {percentage}% {value} of {total} {note}`,
    formatValue: (value, _options, type) =>
      type === 'value' || type === 'total' ? inUnits(value) : String(value),
    clearOnComplete: true,
    hideCursor: true,
  });
  bar.start(total, 0, { note: '' });
  return {
    update: (value) => bar.update(Math.min(value, total)),
    note: (text) => bar.update({ note: text }),
    stop: () => bar.stop(),
  };
}

/** Bytes in the unit that reads best. */
export function inBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}
