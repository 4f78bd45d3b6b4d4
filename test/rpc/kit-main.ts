/** A service of the kit in a process of its own, as the real ones are run. */
import { create } from '@bufbuild/protobuf';
import {
  HistoryService,
  ImportResponseSchema,
  SyncResponseSchema,
} from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import { listenSetting, readConfig } from '../../services/common/config.ts';
import { invalidArgument } from '../../services/common/errors.ts';
import { createLogger } from '../../services/common/logger.ts';
import { implement } from '../../services/common/rpc.ts';
import { runMain } from '../../services/common/run-main.ts';
import { startServer } from '../../services/common/server.ts';
import { forEachMethod, uncalled } from './kit-methods.ts';

const SETTINGS = {
  KIT_LISTEN: listenSetting('127.0.0.1:0'),
  KIT_METRICS_LISTEN: listenSetting('127.0.0.1:0'),
};

await runMain(async (env) => {
  const config = readConfig(SETTINGS, env);
  return startServer({
    prefix: 'KIT',
    listen: config.KIT_LISTEN,
    metricsListen: config.KIT_METRICS_LISTEN,
    log: createLogger('kit', config.LOG_LEVEL),
    check: async () => {},
    implementations: [
      implement(
        HistoryService,
        {
          ...forEachMethod(uncalled),
          append: async () => {
            throw invalidArgument('MISSING_FIELD', 'user', 'is required');
          },
          async *sync() {
            yield create(SyncResponseSchema);
          },
          async *import(requests) {
            for await (const _ of requests) yield create(ImportResponseSchema);
          },
        },
        forEachMethod(1_000),
      ),
    ],
  });
});
