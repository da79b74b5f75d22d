// Browser tests beyond the main job (that one is `scripts/demo --check`), in lanes side by side (lanes.mjs), each a process of its own.
//   node tests/e2e/run.mjs [--preset NAME] [--screenshots DIR] [--only TEXT]
// The last line is 'N passed, N failed'.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../../scripts/lib/demo/stack.mjs';
import { follow } from '../support/lanes.mjs';
import { checkContract } from './contract.mjs';
import { LANES, namesIn } from './lanes.mjs';

const { values: options } = parseArgs({ options: { preset: { type: 'string', default: 'release' }, screenshots: { type: 'string' }, only: { type: 'string', default: '' } } });
const lanes = Object.keys(LANES).filter((lane) => namesIn(lane).some((name) => name.includes(options.only)));
if (lanes.length === 0) {
  console.error(`tests/e2e: no test has '${options.only}' in its name`);
  process.exit(2);
}
if (options.screenshots) fs.mkdirSync(options.screenshots, { recursive: true });

let passed = 0, failed = 0;
const answered = [], running = new Set();
// Each lane stops what it has started, and says so by its end.
let ended = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {
  ended = true;
  for (const child of running) child.kill('SIGTERM');
});

async function run(lane) {
  const settings = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const child = fork(path.join(ROOT, 'tests/e2e/lane.mjs'), [lane, ...settings], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  running.add(child);
  child.on('message', (message) => { if (message.answered) answered.push(message.answered); });
  const gone = once(child, 'disconnect');  // after its last message
  const { code, summary } = await follow(child, (line) => console.log(line));
  await gone;
  running.delete(child);
  passed += summary?.passed ?? 0;
  failed += summary?.failed ?? 0;
  if (!summary || (code !== 0 && summary.failed === 0)) {
    failed += 1;
    console.log(`✗ the lane '${lane}' ended with ${code}${summary ? '' : ' and no summary'}`);
  }
}

await Promise.all(lanes.map(run));
if (ended) process.exit(130);
if (!options.only) {
  const name = 'API: every route has answered, and every answer is as openapi.json says';
  try {
    console.log(`✓ ${name}\n  ${checkContract(answered)}`);
    passed += 1;
  } catch (error) {
    console.log(`✗ ${name}: ${error.message}`);
    failed += 1;
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
