/**
 * Preloaded into the services that tests start: ends them when the test that started them is gone,
 * even by SIGKILL, which closes the other end of their standard input. The processes that a service
 * itself starts inherit this, and are left alone.
 */
if (process.env.END_WITH_PARENT === String(process.ppid)) {
  process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL')).resume();
  if ('unref' in process.stdin && typeof process.stdin.unref === 'function') process.stdin.unref();
}
