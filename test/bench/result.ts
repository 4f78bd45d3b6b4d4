/** One line of the bench. */
export interface Result {
  readonly name: string;
  /** What the services do. */
  readonly value: number;
  readonly unit: string;
  /** What it is compared with: the same without the services. */
  readonly beside: number;
  /** `value / beside`. */
  readonly ratio: number;
  /** The ratio wanted: at least this for rates, at most this for times and sizes; null for none. */
  readonly reach: number | null;
  /** Whether it is reached; null where nothing is wanted. */
  readonly reached: boolean | null;
}

/** A line of which more is better. */
export function rate(
  name: string,
  unit: string,
  value: number,
  beside: number,
  reach: number,
): Result {
  const ratio = value / beside;
  return { name, value, unit, beside, ratio, reach, reached: ratio >= reach };
}

/** A line of which less is better; without `reach` it only tells. */
export function cost(
  name: string,
  unit: string,
  value: number,
  beside: number,
  reach: number | null = null,
): Result {
  const ratio = value / beside;
  return {
    name,
    value,
    unit,
    beside,
    ratio,
    reach,
    reached: reach === null ? null : ratio <= reach,
  };
}

/** The lines as a Markdown table, aligned to be read as it stands. */
export function table(results: readonly Result[]): string {
  const head = ['', 'Backscroll', 'bare', 'unit', 'ratio', 'reach', ''];
  const rows = results.map((result) => [
    result.name,
    figure(result.value),
    figure(result.beside),
    result.unit,
    result.ratio.toFixed(2),
    reachText(result),
    result.reached === null ? '' : result.reached ? 'reached' : 'MISSED',
  ]);
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const right = [1, 2, 4, 5];
  const line = (cells: readonly string[]) =>
    `| ${cells
      .map((cell, column) =>
        right.includes(column)
          ? cell.padStart(widths[column] ?? 0)
          : cell.padEnd(widths[column] ?? 0),
      )
      .join(' | ')} |`;
  const rule = widths.map((width, column) =>
    right.includes(column) ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width),
  );
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

/** Of rates more is better, of times and sizes less. */
function reachText({ reach, unit }: Result): string {
  if (reach === null) return '';
  return unit.endsWith('/s') ? `≥ ${reach}` : `≤ ${reach}`;
}

function figure(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en-US');
  return value.toPrecision(3);
}
