import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { goInstall, goWorks } from './go.ts';

/**
 * The path of a grpcurl to run the README's examples with: the one on the PATH, or one built with Go
 * into the cache, once.
 */
export async function provideGrpcurl(): Promise<string> {
  const onPath = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'grpcurl'))
    .find((file) => existsSync(file));
  if (onPath) return onPath;
  if (!(await goWorks())) {
    throw new Error('no grpcurl to test with: put grpcurl on the PATH, or install Go to build it');
  }
  const built = await goInstall(
    'grpcurl',
    'github.com/fullstorydev/grpcurl/cmd/grpcurl',
    'about a minute',
  );
  return built.path;
}
