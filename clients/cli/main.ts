#!/usr/bin/env node
import module from 'node:module';

// From Node 22.8 on, compiled code is kept between runs: the command starts twice as fast.
module.enableCompileCache?.();

const { run } = await import('./run.ts');
process.exitCode = await run(process.argv);
