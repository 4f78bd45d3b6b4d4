import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { projectFiles } from './project-files.ts';

/** What would tie the project to the machine or the network where it was written. */
const foreign: Readonly<Record<string, RegExp>> = {
  'a path of one machine': /(?<![\w.~-])\/(?:work|root|home\/\w+|Users\/\w+)\//,
  'a folder beside the project': /\.\.\/shared\b/,
  'the host of a package registry': /\b(?:registry|deb|proxy|sum)\.[a-z]+\.(?:com|dev|io|org)\b/,
};
const texts = projectFiles().map((file) => ({ file, text: readFileSync(file, 'utf8') }));

it.each(Object.entries(foreign))('names %s nowhere', (_what, pattern) => {
  const found = texts.filter(({ file, text }) => file !== '.ci/run' && pattern.test(text));
  expect(found.map(({ file }) => file)).toEqual([]);
});

it('locks packages without the place that they came from', () => {
  expect(readFileSync('package-lock.json', 'utf8')).not.toContain('"resolved"');
});
