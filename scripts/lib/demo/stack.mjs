// One Keyferry on this machine: domain controller, server, daemon, agent and simulated key, each with a user of its own,
// in one private state folder. Used by scripts/demo and by the browser tests.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Api } from './api.mjs';
import { freePort, must, run, Service } from './processes.mjs';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const UIDS = { server: 64101, daemon: 64102, agent: 64103, key: 64104 };
const PIN = '246813';

export class Stack {
  constructor({ preset = 'release', state = null, say = () => {} } = {}) {
    this.bin = path.join(ROOT, 'build', preset, 'bin');
    this.ownState = state === null;
    this.state = state ? path.resolve(state) : fs.mkdtempSync(path.join(os.tmpdir(), 'keyferry-demo-'));
    this.say = say;
    this.services = {};
    this.pamFile = null;
  }

  path(...parts) { return path.join(this.state, ...parts); }
  program(name) { return path.join(this.bin, name); }

  /** Everything from nothing to an enrolled key with a PIN. Restarting on an old state folder keeps what is there. */
  async start() {
    fs.mkdirSync(this.state, { recursive: true });
    fs.chmodSync(this.state, 0o711);
    this.lockState();
    for (const name of ['server', 'daemon', 'agent', 'key']) this.folder(name, UIDS[name]);
    this.folder('logs', 0, 0o711);
    const started = Date.now();
    await this.startDirectory();
    this.say(`directory: a Samba domain controller answers on ${this.dc.ldaps_uri} (${Date.now() - started} ms)`);
    await this.startServer();
    this.say(`server: ${this.pageUrl}`);
    await this.startKey();
    await this.startWorkstation();
    this.say('workstation: daemon and login agent run');
    this.writePamFile();
    await this.enrol();
  }

  lockState() {
    const file = this.path('demo.pid');
    try {
      const pid = Number(fs.readFileSync(file, 'utf8'));
      process.kill(pid, 0);
      throw Object.assign(new Error(`${this.state} is in use by the demo with process id ${pid}; choose another --state`), { inUse: true });
    } catch (error) {
      if (error.inUse) throw error;
    }
    fs.writeFileSync(file, `${process.pid}\n`);
  }

  folder(name, uid, mode = 0o700) {
    fs.mkdirSync(this.path(name), { recursive: true });
    fs.chmodSync(this.path(name), mode);
    fs.chownSync(this.path(name), uid, uid);
  }

  secret(file, text, uid) {
    fs.writeFileSync(file, text, { mode: 0o600 });
    fs.chmodSync(file, 0o600);
    fs.chownSync(file, uid, uid);
  }

  // ---- the directory
  async startDirectory() {
    await must(path.join(ROOT, 'scripts/dc'), ['start', this.path('dc')], { timeout: 180000 });
    this.dc = JSON.parse(await must(path.join(ROOT, 'scripts/dc'), ['facts', '--json', this.path('dc')]));
    this.env = { KRB5_CONFIG: this.dc.krb5_config };
  }

  // ---- the server
  async startServer() {
    const config = this.path('server', 'keyferry-server.toml');
    const fresh = !fs.existsSync(config);
    if (fresh) {
      this.port = await freePort();
      this.workstationPort = await freePort();
      fs.copyFileSync(this.dc.ca_file, this.path('server', 'directory-ca.pem'));
      fs.chownSync(this.path('server', 'directory-ca.pem'), UIDS.server, UIDS.server);
      this.secret(this.path('server', 'directory-password'), this.dc.service_password, UIDS.server);
      const simulatorCa = await must(this.program('keyferry-sim'), ['ca']);
      this.secret(this.path('server', 'simulator-ca.pem'), simulatorCa, UIDS.server);
      this.secret(config, this.serverConfig(), UIDS.server);
      await must(this.program('keyferry-server'), ['init', '--config', config], { uid: UIDS.server });
    }
    const text = fs.readFileSync(config, 'utf8');
    this.port = Number(/^listen = "127\.0\.0\.1:(\d+)"/m.exec(text)[1]);
    this.workstationPort = Number(/^workstation_listen = "127\.0\.0\.1:(\d+)"/m.exec(text)[1]);
    this.pageUrl = `https://localhost:${this.port}/`;
    this.caFile = this.path('server', 'state', 'ca.pem');
    this.services.server = new Service('keyferry-server', this.program('keyferry-server'), ['run', '--config', config],
      { uid: UIDS.server, env: this.env, log: this.path('logs', 'server.log'), ready: /^ready/m });
    await this.services.server.start();
    this.publicCa = this.path('ca.pem');
    fs.copyFileSync(this.caFile, this.publicCa);
    fs.chmodSync(this.publicCa, 0o644);
    this.api = new Api(this.pageUrl, this.publicCa);
    const admin = this.account('administrator');
    await this.api.signIn(admin.login, admin.password);
  }

  serverConfig() {
    return `# Written by scripts/demo; every key is explained in docs/configuration.md.
[server]
state_dir = "${this.path('server', 'state')}"
listen = "127.0.0.1:${this.port}"
workstation_listen = "127.0.0.1:${this.workstationPort}"
names = ["localhost", "127.0.0.1"]
`;
  }

  // ---- the key
  async startKey() {
    this.keySocket = this.path('key', 'key.sock');
    this.services.key = new Service('keyferry-sim', this.program('keyferry-sim'),
      ['--socket', this.keySocket, '--state', this.path('key', 'flash.bin'), '--touch', 'auto'],
      { uid: UIDS.key, log: this.path('logs', 'key.log'), ready: /ready/ });
    await this.services.key.start();
  }

  /** plug | unplug | touch | status */
  keyControl(command) { return must(this.program('keyferry-sim'), ['ctl', '--socket', this.keySocket, command]); }

  account(role) { return this.dc.people.find((person) => person.role === role); }
}

export { PIN, UIDS };
