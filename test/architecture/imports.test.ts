import { describe, expect, it } from 'vitest';
import { importsOf, projectFiles } from './project-files.ts';

/**
 * Who may import whom, as ARCHITECTURE.md tells it. The first room whose `files` match decides. An
 * entry that ends with a slash allows the folder; with `type ` before it, it allows types alone; X is
 * the service that the file belongs to. Node's built-in modules are open to all, but for the drivers
 * below.
 */
const rooms: readonly { readonly files: RegExp; readonly may: readonly string[] }[] = [
  { files: /^clients\/gen\//, may: ['clients/gen/', '@bufbuild/protobuf'] },
  { files: /^clients\/format\//, may: ['clients/format/'] },
  {
    files: /^clients\/cli\//,
    may: ['clients/', '@bufbuild/protobuf', '@grpc/grpc-js', 'commander', 'cli-progress'],
  },
  {
    files: /^clients\/device\/local\//,
    may: [
      ...['clients/device/local/', 'clients/backup/', 'clients/format/', 'clients/history/'],
      ...['clients/gen/', 'clients/channel.ts', 'clients/errors.ts', 'clients/stream-faults.ts'],
      ...['clients/uuid.ts'],
      ...['@bufbuild/protobuf', '@grpc/grpc-js'],
    ],
  },
  { files: /^clients\//, may: ['clients/', '@bufbuild/protobuf', '@grpc/grpc-js'] },
  {
    files: /^services\/common\//,
    may: [
      ...['services/common/', 'clients/gen/', 'clients/service-definition.ts', 'clients/errors.ts'],
      ...['@bufbuild/protobuf', '@grpc/grpc-js', '@grpc/reflection', 'grpc-health-check'],
      ...['pino', 'prom-client', 'umzug', 'zod'],
    ],
  },
  {
    files: /^services\/(?<X>history|backup)\/handlers\//,
    may: [
      ...['services/X/handlers/', 'services/X/domain/', 'services/X/limits.ts'],
      ...['services/X/store/', 'services/common/errors.ts', 'services/common/names.ts'],
      ...['type services/X/context.ts', 'type services/common/call.ts'],
      ...['clients/gen/', 'clients/format/', '@bufbuild/protobuf'],
    ],
  },
  {
    files: /^services\/(?<X>history|backup)\/domain\//,
    may: [
      ...['services/X/domain/', 'services/X/limits.ts', 'services/X/store/'],
      ...['services/common/errors.ts', 'services/common/names.ts'],
      ...['clients/gen/', 'clients/format/', '@bufbuild/protobuf'],
    ],
  },
  {
    files: /^services\/(?<X>history|backup)\/store\//,
    may: [
      ...['services/X/store/', 'services/X/limits.ts', 'services/common/errors.ts'],
      ...['clients/format/', 'mysql2', 'minio'],
    ],
  },
  {
    files: /^services\/(?<X>history|backup)\//,
    may: [
      'services/X/',
      'services/common/',
      'clients/',
      '@bufbuild/protobuf',
      'prom-client',
      'zod',
    ],
  },
  { files: /^compose\//, may: ['compose/', '@grpc/grpc-js', 'grpc-health-check'] },
  {
    files: /^services\/main\.ts$/,
    may: ['services/history/', 'services/backup/', 'services/common/'],
  },
];

/**
 * What reaches an engine, and where: one file each, so that what is asked of it stands together. The
 * clients use SQLite in a process of its own, as Nodes that lack it run them, too; the backup service,
 * because it checks files that nobody trusts.
 */
const drivers: readonly (readonly [driver: string, places: readonly RegExp[]])[] = [
  [
    'node:sqlite',
    [
      /^services\/history\/store\/sqlite[\w-]*\.ts$/,
      /^services\/backup\/quick-check-process\.js$/,
      /^clients\/backup\/sqlite-jobs\.ts$/,
      /^clients\/device\/local\/sqlite\.ts$/,
    ],
  ],
  ['mysql2', [/^services\/history\/store\/mysql[\w-]*\.ts$/]],
  ['minio', [/^services\/backup\/store\/minio[\w-]*\.ts$/]],
];

const files = projectFiles().filter((file) => /^(clients|services|compose)\/.*\.[jt]s$/.test(file));
const imports = files.map((file) => ({ file, targets: importsOf(file) }));

describe('imports', () => {
  it('are read from the sources', () => {
    expect(importsOf('clients/service-definition.ts')).toEqual(
      expect.arrayContaining(['@bufbuild/protobuf', 'type @grpc/grpc-js']),
    );
  });

  it('keep to the table of rooms', () => {
    const strays = imports.flatMap(({ file, targets }) => {
      const may = allowed(file);
      const stray = targets.filter((target) => !within([...may, 'node:'], target));
      return stray.map((target) => `${file} imports ${target}`);
    });
    expect(strays).toEqual([]);
  });

  it.each(drivers)('reach %s from one file of a room alone', (driver, places) => {
    const users = imports
      .filter(({ targets }) => targets.some((target) => withoutType(target) === driver))
      .map(({ file }) => file);
    expect(users.filter((file) => !places.some((place) => place.test(file)))).toEqual([]);
    for (const place of places) {
      expect(users.filter((file) => place.test(file)).length).toBeLessThanOrEqual(1);
    }
  });
});

function allowed(file: string): readonly string[] {
  for (const room of rooms) {
    const match = room.files.exec(file);
    if (match) return room.may.map((entry) => entry.replace('/X/', `/${match.groups?.X}/`));
  }
  throw new Error(`${file} belongs to no room of the table`);
}

function within(may: readonly string[], target: string): boolean {
  const path = withoutType(target);
  return may.some((entry) => {
    if (entry === path || entry === target) return true;
    return /[/:]$/.test(entry) && path.startsWith(entry);
  });
}

function withoutType(target: string): string {
  return target.replace(/^type /, '');
}
