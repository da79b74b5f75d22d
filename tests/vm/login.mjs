// In the guest: the whole of Keyferry (server, keyferryd, keyferry-agent, pam_keyferry) with the domain controller that login_guest.mjs has started
// outside, and the key on one transport of the operating system after the other: a new password is set at the server, comes to the key, and opens a
// login through PAM.
//   login.mjs PRESET SERVER_PRESET [ROAD…]
import fs from 'node:fs';
import path from 'node:path';
import { lookup } from 'node:dns/promises';
import { ldapBind, login, Sink } from '../../scripts/lib/demo/login.mjs';
import { must, run, Service } from '../../scripts/lib/demo/processes.mjs';
import { PIN, ROOT, Stack, UIDS, until } from '../../scripts/lib/demo/stack.mjs';

const ROADS = {
  uhid: { words: 'HID (uhid, hidraw)', plug: ['--uhid'], keys: 'usb = "hidraw"\nbluetooth = false' },
  'usb-libusb': { words: 'HID (USB/IP, libusb)', plug: ['--usbip-attach'], keys: 'usb = "libusb"\nbluetooth = false' },
  // Behind with-ble. Paired by the command line, by comparing numbers; D-Bus lets the daemon's user ask for what the package's policy says alone.
  ble: { words: 'Bluetooth LE', plug: ['--ble', 'hci1', '--ble-pair', 'auto'], keys: 'usb = "off"\nbluetooth = true', introduce: pair },
};

/** BlueZ's own policy lets everybody ask, as Debian has it; here root alone, and keyferryd by the policy of the package. */
async function pair(stack) {
  const own = '/etc/dbus-1/system.d/bluetooth.conf';
  const found = [own, '/usr/share/dbus-1/system.d/bluetooth.conf'].find((file) => fs.existsSync(file));
  fs.writeFileSync(found, fs.readFileSync(found, 'utf8').replace(/<policy context="default">[^]*?<\/policy>/, ''));
  fs.copyFileSync(path.join(ROOT, 'packaging/dbus/keyferryd.conf'), '/usr/share/dbus-1/system.d/keyferryd.conf');
  // D-Bus takes users that have a name only.
  let users = fs.readFileSync('/etc/passwd', 'utf8');
  for (const [name, uid] of [['keyferryd', UIDS.daemon], ['keyferry-agent', UIDS.agent]]) {
    users = users.replace(new RegExp(`^${name}:x:\\d+:\\d+:`, 'm'), `${name}:x:${uid}:${uid}:`);
  }
  fs.writeFileSync('/etc/passwd', users);
  await must('busctl', ['call', 'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'ReloadConfig']);
  const { code, stderr } = await run('busctl', ['get-property', 'org.bluez', '/org/bluez/hci0', 'org.bluez.Adapter1', 'Address'], { uid: UIDS.agent });
  if (code === 0 || !/denied/i.test(stderr)) throw new Error(`D-Bus lets everybody ask: ${stderr}`);
  const output = await must(stack.program('keyferry'), ['bluetooth', '--adapter', 'hci0', 'pair'], { input: 'y\n' });
  if (!/Is it \d{6}\?/.test(output)) throw new Error(`nobody was asked: ${output}`);
}

class GuestStack extends Stack {
  constructor(road, options) {
    super(options);
    this.road = road;
  }

  async startDirectory() {
    this.dc = JSON.parse(fs.readFileSync('/mnt/out/directory.json', 'utf8'));
    const { address } = await lookup('host');
    fs.appendFileSync('/etc/hosts', `${address} ${this.dc.host}\n`);
    this.env = { KRB5_CONFIG: this.dc.krb5_config };
  }

  /** It ends with login_guest.mjs. */
  async stopDirectory() {}

  // What is here is about keys; ten hashes of recovery codes take an emulated processor half a minute.
  serverConfig() { return super.serverConfig().replace('[passwords]\n', '[sign_in]\nsecond_factor = "off"\n\n[passwords]\n'); }

  async startKey() {
    this.folder('run', 0, 0o755);
    this.control = this.path('run', 'key.control');
    this.services.key = new Service('keyferry-sim', this.program('keyferry-sim'),
      [...this.road.plug, '--control', this.control, '--state', this.path('key', 'flash.bin'), '--touch', 'auto'],
      { log: this.path('logs', 'key.log'), ready: /ready/ });
    await this.services.key.start();
    await this.road.introduce?.(this);
  }

  /** Agent, daemon and key get the most that can be configured: their processor is emulated. */
  writePamFile(sink) {
    super.writePamFile(sink);
    fs.writeFileSync(this.pamFile, fs.readFileSync(this.pamFile, 'utf8').replace(/ socket=\S+/, '$& timeout=10'));
  }

  keyControl(command) { return must(this.program('keyferry-sim'), ['ctl', '--control', this.control, command]); }

  keysSection() { return this.road.keys; }

  /** The same key and the same workstation, on another road. */
  async move(road) {
    await this.services.daemon.stop();
    await this.services.agent.stop();
    await this.services.key.stop();
    this.road = road;
    await this.startKey();
    await this.startWorkstation();
  }
}

let passed = 0, failed = 0;

async function scenario(words, work) {
  const start = Date.now();
  try {
    await work();
    passed += 1;
    console.log(`✓ ${words} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
    return true;
  } catch (error) {
    failed += 1;
    console.log(`✗ ${words}: ${error.message.replace(/\s+/g, ' ')}`);
    return false;
  }
}

async function changeDeliverLogin(stack, sink, environment) {
  const url = `/api/v1/employees/${stack.employee.id}`;
  await stack.api.must('POST', `${url}/password`, { json: { generate: true, reason: 'The guest tier', must_change: false, unlock: false } });
  const view = await until('the new password is on the key', async () => {
    const { changes } = await stack.api.must('GET', `${url}/changes`);
    return changes[0].delivered ? changes[0] : null;
  });
  if (!view.receipt_hash) throw new Error('delivered without a receipt');
  const { ok, output } = await login(stack.pamService, stack.employee.login, [PIN], environment);
  if (!ok) throw new Error(`no login: ${output.trim()}`);
  if (!await ldapBind(stack.dc, stack.employee.upn, sink.take())) throw new Error('the directory refuses what the key released');
}

const [preset, serverPreset, ...names] = process.argv.slice(2);
const roads = (names.length ? names : Object.keys(ROADS)).map((name) => ROADS[name]);
const keyGroup = Number((await must('getent', ['group', 'keyferry-keys'])).split(':')[2]);
const stack = new GuestStack(roads[0], { preset, serverPreset });
stack.keyGroup = keyGroup;
const sink = new Sink();
// A program without sanitizers that loads our module needs their library first; what it leaks itself is not ours.
const asan = (await run('gcc', ['-print-file-name=libasan.so'])).stdout.trim();
try {
  const up = await scenario(`login: server and workstation start, key enrolled over ${roads[0].words}`, () => stack.start());
  if (up) {
    const environment = { ...stack.env, ...(preset === 'asan' ? { LD_PRELOAD: asan, ASAN_OPTIONS: 'detect_leaks=0' } : {}) };
    stack.writePamFile(sink.program);
    for (const road of roads) {
      const done = await scenario(`login: new password, delivery, PAM with the key on ${road.words}`, async () => {
        if (road !== stack.road) await stack.move(road);
        await changeDeliverLogin(stack, sink, environment);
      });
      if (!done) break;
    }
  }
  for (const name of ['agent', 'daemon', 'key']) {
    const service = stack.services[name];
    if (!service) continue;
    await service.stop(60000);
    const { code, signal } = await service.exited;
    if (code !== 0) {
      failed += 1;
      console.log(`✗ login: ${service.name} ended with ${signal ?? code}`);
    }
  }
} finally {
  if (failed) {
    for (const name of ['server', 'daemon', 'agent', 'key']) {
      const file = stack.path('logs', `${name}.log`);
      if (fs.existsSync(file)) console.log(`${name}: ${fs.readFileSync(file, 'utf8').slice(-2500)}`);
    }
    for (const file of ['server/keyferry-server.log', 'daemon/keyferryd.log', 'agent/keyferry-agent.log']) {
      if (fs.existsSync(stack.path(file))) console.log(`${path.basename(file)}: ${fs.readFileSync(stack.path(file), 'utf8').slice(-2500)}`);
    }
  }
  sink.remove();
  await stack.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
