import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';

/** The files of the project, by their paths from its root: those that git knows or would add. */
export function projectFiles(): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const listed = execFileSync('git', args, { encoding: 'utf8' }).split('\0');
  return [...new Set(listed)].filter((file) => file !== '' && existsSync(file));
}

/**
 * What a source imports, statically or not: packages and built-ins by name (`@scope/name`, `node:fs`),
 * the project's own files by their paths from its root; with `type ` before it where nothing but types
 * is taken, so that nothing of it runs.
 */
export function importsOf(file: string): string[] {
  const source = readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '');
  const statements = source.matchAll(
    /^\s*(?:import|export)\s(type\s)?(?:[\w\s{},*$]*\bfrom\s)?\s*'([^']+)'|\bimport\(\s*'([^']+)'/gm,
  );
  return [...statements].map(
    ([, type, fixed, dynamic]) => `${type ? 'type ' : ''}${resolve(file, fixed ?? dynamic ?? '')}`,
  );
}

function resolve(file: string, specifier: string): string {
  if (specifier.startsWith('.')) return posix.join(posix.dirname(file), specifier);
  if (specifier.startsWith('node:')) return specifier;
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}
