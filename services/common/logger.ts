import { type Logger, pino } from 'pino';

export type { Logger };

/** How much is logged, from least to most. */
export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;

/** One of `LOG_LEVELS`. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * Makes the log of one service: a JSON object a line on standard output, with the service's name.
 * What people wrote to each other, their names and secrets never go into a log; ids and counts may.
 */
export function createLogger(service: string, level: LogLevel): Logger {
  return pino({
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}
