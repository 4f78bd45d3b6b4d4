import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { type Engine, provideMinio, provideMysql } from './engines.ts';

declare module 'vitest' {
  /** What a test gets by `inject`. */
  export interface ProvidedContext {
    /** A real MySQL's `mysql://root@127.0.0.1:PORT`; tests make databases of their own in it. */
    mysqlUrl: string;
    /** A real MinIO's `s3+http://ACCESS:SECRET@127.0.0.1:PORT`; tests make buckets of their own. */
    minioUrl: string;
    /** Where the suites note the statements that they send; removed after the run. */
    statementsFolder: string;
  }
}

interface Shared {
  readonly engines: Promise<readonly [Engine, Engine]>;
  readonly statements: Disposable & { readonly path: string };
  users: number;
}

// Each project loads this file anew, and all of them share one MySQL and one MinIO.
const shared = globalThis as typeof globalThis & { backscrollEngines?: Shared };

/** Starts both engines for the first project that needs them; stops them after the last. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  shared.backscrollEngines ??= {
    engines: startBoth(),
    statements: mkdtempDisposableSync(join(tmpdir(), 'backscroll-statements-')),
    users: 0,
  };
  const { backscrollEngines } = shared;
  backscrollEngines.users += 1;
  const [mysql, minio] = await backscrollEngines.engines;
  project.provide('mysqlUrl', mysql.url);
  project.provide('minioUrl', minio.url);
  project.provide('statementsFolder', backscrollEngines.statements.path);
  return async () => {
    backscrollEngines.users -= 1;
    if (backscrollEngines.users > 0) return;
    delete shared.backscrollEngines;
    await mysql[Symbol.asyncDispose]();
    await minio[Symbol.asyncDispose]();
    backscrollEngines.statements[Symbol.dispose]();
  };
}

async function startBoth(): Promise<readonly [Engine, Engine]> {
  await using started = new AsyncDisposableStack();
  const mysql = started.use(await provideMysql());
  const minio = started.use(await provideMinio());
  for (const engine of [mysql, minio]) console.log(`  testing on ${engine.description}`);
  started.move();
  return [mysql, minio];
}
