// The guest tier: starts each guest of the lists, three at a time, passes on their scenarios' lines, counts.
//   node tests/vm/run.mjs [--preset asan] [--server-preset release] [NAME…]
// The workstation's programs and the key come from the one build, the server from the other.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { follow } from '../support/lanes.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const { values: options, positionals } = parseArgs({ allowPositionals: true, options: {
  preset: { type: 'string', default: 'asan' }, 'server-preset': { type: 'string', default: 'release' },
} });
const build = path.join(ROOT, 'build', options.preset);
const tests = (name) => path.join(build, 'tests', name);
const shipped = path.join(ROOT, 'build', options['server-preset']);
const plain = (name) => path.join(shipped, 'tests', name);
const guest = (settings, ...command) => [path.join(ROOT, 'scripts/vm'), 'run', ...settings, '--', ...command];

// The longest first. Each prints '✓ name (seconds)' or '✗ name: reason' and ends with 'N passed, N failed'.
const RUNS = {
  'power-cut': [tests('vm_power_cut'), '-r', 'lines'],
  'login': [process.execPath, path.join(ROOT, 'tests/vm/login_guest.mjs'), options.preset, options['server-preset']],
  'usb-libusb': guest(['--timeout', '420'], 'tests/vm/roads', tests('vm_roads'), '-r', 'lines', '[usb-libusb]'),
  'usb-hidraw': guest(['--timeout', '420'], 'tests/vm/roads', tests('vm_roads'), '-r', 'lines', '[usb-hidraw]'),
  'uhid': guest(['--timeout', '420'], 'tests/vm/roads', tests('vm_roads'), '-r', 'lines', '[uhid]'),
  'hid': guest(['--timeout', '420'], 'tests/integration/hid/in-guest', options.preset, '-r', 'lines'),
  'daemons': guest(['--timeout', '420'], 'tests/vm/roads', tests('vm_daemons'), '-r', 'lines'),
  'gadget': guest(['--timeout', '420'], 'tests/vm/roads', 'with-gadget', tests('vm_roads'), '-r', 'lines', '[gadget]'),
  // Not under the sanitizers: bluetoothd, the adapters and an emulated processor leave no time for them.
  'ble': guest(['--timeout', '420'], 'with-ble', plain('vm_roads'), '-r', 'lines',
    'ble: enrol*,ble: a key*,ble: pulled*,ble: an ATT*,ble: any*'),
  'ble-faults': guest(['--timeout', '420'], 'with-ble', plain('vm_roads'), '-r', 'lines',
    'ble: enrol*,ble: the connection*,ble: the computer*,ble: somebody*,ble: bluetoothd*,ble: another*,ble: answers*'),
  'ble-mtu-100': guest(['--timeout', '420'], 'with-ble', '--mtu', '100', plain('vm_roads'), '-r', 'lines',
    'ble: enrol*,ble: any*,ble: in fragments*'),
};

const logs = fs.mkdtempSync(path.join(os.tmpdir(), 'keyferry-vm-'));
let passed = 0, failed = 0;

async function run(name) {
  const log = path.join(logs, `${name}.log`);
  const start = Date.now();
  const errors = fs.openSync(log, 'a');
  const [program, ...args] = RUNS[name];
  const child = spawn(program, args, { cwd: ROOT, stdio: ['ignore', 'pipe', errors], env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=1', KEYFERRY_VM_SHIPPED: shipped } });
  const { code, summary } = await follow(child, (text) => {
    if (/^[✓✗]|^ {2}/.test(text)) console.log(text.replace(/^([✓✗]) ble:/, `$1 ${name}:`));
    fs.appendFileSync(log, `${text}\n`);
  });
  fs.closeSync(errors);
  console.log(`  ${name} took ${Math.round((Date.now() - start) / 1000)} s`);
  passed += summary?.passed ?? 0;
  failed += summary?.failed ?? 0;
  // A sanitizer's report or a dead guest is a failure even when each scenario held.
  if (!summary || (code !== 0 && summary.failed === 0)) {
    failed += 1;
    console.log(`✗ ${name}: ended with ${code}${summary ? '' : ' and no summary'}`);
  }
  if (!summary || summary.failed || code !== 0) {
    console.log(fs.readFileSync(log, 'utf8').trim().split('\n').slice(-40).map((text) => `    ${text}`).join('\n'));
  }
}

const names = positionals.length ? positionals : Object.keys(RUNS);
const unknown = names.find((name) => !RUNS[name]);
if (unknown) {
  console.error(`tests/vm: there is no run '${unknown}'; there are: ${Object.keys(RUNS).join(' ')}`);
  process.exit(2);
}
// Two guests that compute and one with Bluetooth, which mostly waits, keep two processors busy. When Bluetooth is done with, a third helps the others.
const radio = names.filter((name) => name.startsWith('ble'));
const others = names.filter((name) => !name.startsWith('ble'));
const work = async (queue) => { while (queue.length) await run(queue.shift()); };
await Promise.all([work(radio).then(() => work(others)), work(others), work(others)]);
fs.rmSync(logs, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
