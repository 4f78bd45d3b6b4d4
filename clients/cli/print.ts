import type { JsonValue } from '@bufbuild/protobuf';
import type { Context, GlobalOptions } from './context.ts';

/** How answers are written as JSON: scripts want every field, also those that are 0 or empty. */
export const ALL_FIELDS = { alwaysEmitImplicit: true } as const;

/** Prints one answer: as JSON with `--json`, else as text for people. */
export async function print(
  context: Context,
  options: GlobalOptions,
  text: string,
  json: JsonValue,
): Promise<void> {
  await context.output.line(options.json ? JSON.stringify(json) : text);
}
