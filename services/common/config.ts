import { readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { z } from 'zod';
import { LOG_LEVELS } from './logger.ts';

/** Where a server listens. */
export interface ListenAddress {
  /** Host name or address, IPv6 without brackets. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

/** The configuration can't be used. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** Everything that is wrong, one line a fault, each beginning with the variable's name. */
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

/** A setting that tells where to listen, `host:port`; its faults name what is allowed. */
export function listenSetting(fallback: string) {
  return z
    .string()
    .default(fallback)
    .transform((text, context): ListenAddress => {
      const [, bracketed, plain, port] =
        /^(?:\[([\da-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
      const host = bracketed ?? plain;
      if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) };
      context.issues.push({
        code: 'custom',
        input: text,
        message: 'must be HOST:PORT with a port of 0 to 65535, such as 127.0.0.1:50051',
      });
      return z.NEVER;
    });
}

/** A setting that is a whole number; its faults name what is allowed. */
export function wholeNumber(fallback: number, min: number, max: number) {
  const message = `must be a whole number of ${min} to ${max}`;
  return z
    .string()
    .default(`${fallback}`)
    .transform(Number)
    .refine((number) => Number.isInteger(number) && number >= min && number <= max, { message });
}

/** Settings of every service. */
const COMMON_SETTINGS = {
  LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  ALLOW_INSECURE: z
    .enum(['0', '1'])
    .default('0')
    .transform((flag) => flag === '1'),
};

type Settings = Record<string, z.ZodType>;

/** What `readConfig` makes of the given settings. */
export type Config<S extends Settings> = z.infer<z.ZodObject<S & typeof COMMON_SETTINGS>>;

/**
 * Reads the settings named by the keys of `settings`, and those of every service, from the
 * environment. Each may also be given as `NAME_FILE`, the path of a file that holds the value
 * (secrets are mounted so); one line end behind it is dropped. An empty value counts as absent.
 *
 * @throws ConfigError with all faults at once: values that are not allowed, values given twice,
 * files that can't be read, and addresses that are not loopback without ALLOW_INSECURE.
 */
export function readConfig<S extends Settings>(settings: S, env: NodeJS.ProcessEnv): Config<S> {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries({ ...settings, ...COMMON_SETTINGS })) {
    const given = readValue(name, env);
    if ('fault' in given) {
      faults.push(given.fault);
      continue;
    }
    const parsed = setting.safeParse(given.value);
    if (parsed.success) values[name] = parsed.data;
    else faults.push(...parsed.error.issues.map((issue) => `${name}: ${issue.message}`));
  }
  if (values.ALLOW_INSECURE !== true) faults.push(...exposures(values));
  if (faults.length > 0) throw new ConfigError(faults);
  return values as Config<S>;
}

/** The text of one setting, from its variable or its file; `undefined` where it is absent. */
export function readValue(
  name: string,
  env: NodeJS.ProcessEnv,
): { value?: string } | { fault: string } {
  const value = env[name] || undefined;
  const path = env[`${name}_FILE`] || undefined;
  if (path === undefined) return value === undefined ? {} : { value };
  if (value !== undefined) {
    return { fault: `${name}: given twice, also as ${name}_FILE: leave one out` };
  }
  try {
    return { value: readFileSync(path, 'utf8').replace(/\r?\n$/, '') };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { fault: `${name}_FILE: can't read ${path} (${code})` };
  }
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family === 0 ? host === 'localhost' : LOOPBACK.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/** Nothing authenticates callers, so listening for strangers must be meant. */
function exposures(values: Record<string, unknown>): string[] {
  return Object.entries(values)
    .filter(([, value]) => isListenAddress(value) && !isLoopback(value.host))
    .map(
      ([name]) =>
        `${name}: must be a loopback address such as 127.0.0.1, because callers are not ` +
        'authenticated; where only trusted callers can reach it, set ALLOW_INSECURE=1',
    );
}

function isListenAddress(value: unknown): value is ListenAddress {
  return typeof value === 'object' && value !== null && 'host' in value && 'port' in value;
}

/** `host:port`, as `listenSetting` reads it. */
export function formatAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
