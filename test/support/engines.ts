import { dockerAnswers, provideImage } from './docker.ts';
import { minio, minioOnFolders } from './minio.ts';
import { mysql } from './mysql.ts';
import { type EngineKind, type Prepared, untilReady } from './server.ts';

/** A real server to test on. Disposing it stops what was started for it, and removes its data. */
export interface Engine extends AsyncDisposable {
  /** `mysql://root@127.0.0.1:PORT`, or `s3+http://ACCESS:SECRET@127.0.0.1:PORT`. */
  readonly url: string;
  /** What it is and where it comes from, in one line. */
  readonly description: string;
}

/** An engine that was started for the caller alone, who may do to it what befalls servers. */
export interface OwnEngine extends Engine {
  /** SIGKILL; resolves when it is dead. */
  kill(): Promise<void>;
  /** Starts it again, on the same port and data; resolves when it answers. */
  start(): Promise<void>;
}

/** A real MySQL: the one that MYSQL_URL names, or one that is started. */
export const provideMysql = () => provide(mysql);

/** A real MinIO: the one that MINIO_URL names, or one that is started. */
export const provideMinio = () => provide(minio);

/** Starts a MySQL of the caller's own, empty, as a container or a process. */
export const startMysql = () => start(mysql);

/** Starts a MinIO of the caller's own, empty, as a container or a process. */
export const startMinio = () => start(minio);

/** The same of a MinIO on four folders, over which it spreads each object. */
export const startMinioOnFolders = () => start(minioOnFolders);

/**
 * Makes sure that both engines can be had, downloading or building what they need. Resolves to a line
 * on each, how it will be had; rejects, with what to do, if one can't.
 */
export async function prepareEngines(): Promise<string[]> {
  const lines: string[] = [];
  for (const kind of [mysql, minio]) {
    const given = process.env[kind.variable] && `given by ${kind.variable}`;
    const how = given || (await findWay(kind)).how;
    lines.push(`${kind.name}: ${how}`);
  }
  return lines;
}

async function provide(kind: EngineKind): Promise<Engine> {
  const url = process.env[kind.variable];
  if (!url) return start(kind);
  const what = await kind.answers(url).catch((error: unknown) => {
    throw new Error(`${kind.variable} names a ${kind.name} that does not answer: ${error}`);
  });
  return {
    url,
    description: `${what}, given by ${kind.variable}`,
    [Symbol.asyncDispose]: async () => {},
  };
}

async function start(kind: EngineKind): Promise<OwnEngine> {
  const { how, prepare } = await findWay(kind);
  const { server, url } = await prepare();
  const startAndWait = async () => {
    await server.start();
    return untilReady(server, kind.name, () => kind.answers(url));
  };
  try {
    const what = await startAndWait();
    return {
      url,
      description: `${what}, ${how}`,
      kill: () => server.kill(),
      start: async () => void (await startAndWait()),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

interface Way {
  readonly how: string;
  readonly prepare: () => Promise<Prepared>;
}

/** Docker where an engine answers that has the image or can get it, else a process. */
async function findWay(kind: EngineKind): Promise<Way> {
  if (await dockerAnswers()) {
    try {
      await provideImage(kind.image);
      return { how: `container of ${kind.image}`, prepare: () => kind.container() };
    } catch (error) {
      console.log(
        `  no ${kind.name} from Docker, so without it: ${String(error).replaceAll('\n', ' ')}`,
      );
    }
  }
  if (await kind.canBuild()) return { how: await kind.build(), prepare: () => kind.process() };
  throw new Error(
    `no ${kind.name} to test on: set ${kind.variable} to one that runs, start Docker, or use ${kind.needs}`,
  );
}
