import { setFlagsFromString } from 'node:v8';

// Transfers' bytes lie outside of V8's heap, yet V8 counts them when it decides to collect. Around so
// small a heap that would be every 6 MiB, at a third of the processor; with this it is seldom.
setFlagsFromString('--heap-growing-percent=100');
// A nursery that stays small is collected often, which frees those bytes soon. It grows while modules
// are loaded: hence this comes first.
setFlagsFromString('--semi-space-growth-factor=1');

const { runMain } = await import('../common/run-main.ts');
const { readBackupConfig } = await import('./config.ts');
const { startBackup } = await import('./service.ts');

await runMain((env) => startBackup(readBackupConfig(env)));
