// scripts/demo after installing and building: starts the stack, then either checks the main job or waits for Ctrl-C.
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Stack } from './stack.mjs';

const { values: options } = parseArgs({ options: {
  check: { type: 'boolean', default: false }, state: { type: 'string' }, facts: { type: 'string' },
  preset: { type: 'string', default: 'release' }, screenshots: { type: 'string' },
} });

const say = (text) => console.log(options.check ? `  ${text}` : text);
const stack = new Stack({ preset: options.preset, state: options.state ?? null, say });

let ending = null;
function end(code) {
  ending ??= (async () => {
    await stack.stop();
    if (options.facts) fs.rmSync(options.facts, { force: true });
    process.exit(code);
  })();
  return ending;
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => end(options.check ? 130 : 0));

try {
  await stack.start();
  if (options.facts) fs.writeFileSync(options.facts, `${JSON.stringify(stack.facts(), null, 2)}\n`, { mode: 0o600 });
  if (options.check) {
    const { check } = await import('./check.mjs');
    const { passed, failed } = await check(stack, { screenshots: options.screenshots ? path.resolve(options.screenshots) : null });
    console.log(`${passed} passed, ${failed} failed`);
    await end(failed ? 1 : 0);
  } else {
    console.log(stack.welcome());
    stack.followEvents((line) => console.log(line));
  }
} catch (error) {
  console.error(`The demo could not start: ${error.message}`);
  if (options.check) console.log('0 passed, 1 failed');
  await end(1);
}
