// One Keyferry on this machine: domain controller, server, daemon, agent and simulated key, each with a user of its own,
// in one private state folder. Used by scripts/demo and by the browser tests.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Api } from './api.mjs';
import { Authenticators } from './authenticator.mjs';
import { pamStack } from './login.mjs';
import { freePort, must, run, Service } from './processes.mjs';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const UIDS = { server: 64101, daemon: 64102, agent: 64103, key: 64104 };
// The guest's processor is emulated.
const PATIENCE = process.env.KEYFERRY_IN_GUEST ? 120000 : 30000;
const PIN = '246813';

export class Stack {
  static made = 0;

  constructor({ preset = 'release', serverPreset = preset, state = null, say = () => {} } = {}) {
    this.bin = path.join(ROOT, 'build', preset, 'bin');
    this.serverBin = path.join(ROOT, 'build', serverPreset, 'bin');
    this.ownState = state === null;
    this.state = state ? path.resolve(state) : fs.mkdtempSync(path.join(os.tmpdir(), 'keyferry-demo-'));
    this.say = say;
    this.services = {};
    this.pamService = `keyferry-demo-${process.pid}-${Stack.made += 1}`;
    this.pamFile = null;
  }

  path(...parts) { return path.join(this.state, ...parts); }
  program(name) { return path.join(name === 'keyferry-server' ? this.serverBin : this.bin, name); }

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

  stopDirectory() { return run(path.join(ROOT, 'scripts/dc'), ['stop', this.path('dc')]); }

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
    this.authenticators ??= new Authenticators(this.path('authenticators.json'));
    this.api = new Api(this.pageUrl, this.publicCa, this.authenticators);
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

[directory]
uris = ["${this.dc.ldaps_uri}"]
ca_file = "${this.path('server', 'directory-ca.pem')}"
base_dn = "${this.dc.base_dn}"
people_dn = "${this.dc.people_dn}"
bind_name = "${this.dc.service_upn}"
password_file = "${this.path('server', 'directory-password')}"
administrator_groups = ["${this.dc.administrators_group}"]
help_desk_groups = ["${this.dc.help_desk_group}"]
${this.dc.auditors_group ? `key_officer_groups = ["${this.dc.key_officers_group}"]\nauditor_groups = ["${this.dc.auditors_group}"]\n` : ''}
[passwords]
allow_typing = true

[keys]
allow_simulator = true
simulator_ca = ["${this.path('server', 'simulator-ca.pem')}"]

[four_eyes]
# People here get further keys and new passwords within minutes, by one administrator.
new_key_hours = 0

[log]
level = "trace"
file = "${this.path('server', 'keyferry-server.log')}"
`;
  }

  // ---- the key
  async startKey() {
    // The socket stands for the USB port: the daemon's user may reach it, nobody else but the key.
    const port = this.path('run', 'key');
    this.folder('run', 0, 0o755);
    this.folder('run/key', UIDS.key, 0o750);
    fs.chownSync(port, UIDS.key, UIDS.daemon);
    this.keySocket = path.join(port, 'key.sock');
    this.services.key = new Service('keyferry-sim', this.program('keyferry-sim'),
      ['--socket', this.keySocket, '--state', this.path('key', 'flash.bin'), '--touch', 'auto', '--share'],
      { uid: UIDS.key, log: this.path('logs', 'key.log'), ready: /ready/ });
    await this.services.key.start();
  }

  /** plug | unplug | touch | status */
  keyControl(command) { return must(this.program('keyferry-sim'), ['ctl', '--socket', this.keySocket, command]); }

  account(role) { return this.dc.people.find((person) => person.role === role); }

  // ---- the workstation
  async startWorkstation() {
    const shared = this.path('run');
    this.daemonSocket = path.join(shared, 'daemon', 'daemon.sock');
    this.agentSocket = path.join(shared, 'agent', 'agent.sock');
    this.folder('run/daemon', UIDS.daemon, 0o755);
    this.folder('run/agent', UIDS.agent, 0o755);
    this.secret(this.path('daemon', 'keyferryd.toml'), `# Written by scripts/demo; every key is explained in docs/workstation.md.
server_url = "https://localhost:${this.port}"
server_ca = "${this.publicCa}"
state_dir = "${this.path('daemon', 'state')}"
socket = "${this.daemonSocket}"
allow_users = [0, ${UIDS.agent}]
name = "demo-workstation"
log_level = "trace"
log_file = "${this.path('daemon', 'keyferryd.log')}"

[keys]
${this.keysSection()}
`, UIDS.daemon);
    this.secret(this.path('agent', 'keyferry-agent.toml'), `# Written by scripts/demo; every key is explained in docs/login.md.
state_dir = "${this.path('agent', 'state')}"
socket = "${this.agentSocket}"
daemon_socket = "${this.daemonSocket}"
log_level = "trace"
log_file = "${this.path('agent', 'keyferry-agent.log')}"
`, UIDS.agent);
    for (const [short, name] of [['daemon', 'keyferryd'], ['agent', 'keyferry-agent']]) {
      this.services[short] = new Service(name, this.program(name), ['--config', this.path(short, `${name}.toml`)],
        { uid: UIDS[short], gid: short === 'daemon' ? this.keyGroup : undefined, env: this.env, log: this.path('logs', `${short}.log`), ready: /^ready/m });
      await this.services[short].start();
    }
  }

  /** Where the daemon looks for the key: `[keys]` of keyferryd.toml. */
  keysSection() { return `usb = "off"\nbluetooth = false\nsockets = ["${this.keySocket}"]`; }

  /** One employee gets the key: workstation approved, key enrolled, PIN set with the activation code. */
  async enrol() {
    const { api } = this;
    this.employee = this.account('employee_with_key');
    const found = await api.must('GET', `/api/v1/employees?query=${encodeURIComponent(this.employee.login)}`);
    this.employee.id = found.people[0].id;
    this.employeeUrl = `${this.pageUrl}employees/${this.employee.id}`;
    if ((await api.must('GET', '/api/v1/keys')).keys.some((key) => key.account === this.employee.id && key.state === 'active')) return;

    const pending = await until('the workstation registers', async () =>
      (await api.must('GET', '/api/v1/workstations')).workstations.find((w) => w.state !== 'revoked'));
    if (pending.state === 'pending') await api.must('POST', `/api/v1/workstations/${pending.id}/approve`, { json: {} });
    const key = await until('the workstation sees the key', async () => (await api.must('GET', '/api/v1/keys/unassigned')).keys[0]);
    const begun = await api.must('POST', '/api/v1/enrolments',
      { json: { account: this.employee.id, device: key.device, workstation: key.workstation } });
    this.enrolment = begun.id;
    await until('the key is enrolled', async () => {
      const { state, error } = await api.must('GET', `/api/v1/enrolments/${begun.id}`);
      if (state === 'failed') throw new Error(`enrolment failed: ${error}`);
      return state === 'done';
    });
    await until('the PIN is set', async () => {
      const { code, stdout, stderr } = await run(this.program('keyferry'), ['pin', 'set', '--user', this.employee.login, '--stdin', '--socket', this.agentSocket],
        { input: `${begun.activation_code}\n${PIN}\n` });
      if (code !== 0) this.lastProblem = (stderr || stdout).trim();
      return code === 0;
    }, () => this.lastProblem);
    this.say(`key: enrolled for ${this.employee.display_name} (${this.employee.login}), PIN ${PIN}`);
  }

  // ---- PAM: one file, gone at the end
  writePamFile(sink = null) {
    this.pamFile = `/etc/pam.d/${this.pamService}`;
    fs.writeFileSync(this.pamFile, pamStack(path.join(this.bin, '../lib/pam_keyferry.so'), this.agentSocket, sink), { mode: 0o644 });
  }

  facts() {
    return {
      page_url: this.pageUrl, api_url: `${this.pageUrl}api/v1/`, ca_file: this.publicCa,
      accounts: this.dc.people, employee: this.employee, employee_url: this.employeeUrl, pin: PIN,
      directory: { ldaps_uri: this.dc.ldaps_uri, ca_file: this.dc.ca_file, base_dn: this.dc.base_dn, realm: this.dc.realm, krb5_config: this.dc.krb5_config,
        service_account: this.dc.service_upn, service_password: this.dc.service_password },
      key_socket: this.keySocket, daemon_socket: this.daemonSocket, agent_socket: this.agentSocket, pam_service: this.pamService,
      state: this.state, bin: this.bin,
      pids: Object.fromEntries(Object.entries(this.services).map(([name, service]) => [name, service.pid])),
    };
  }

  welcome() {
    const admin = this.account('administrator');
    return `
Keyferry is ready.

  Page        ${this.pageUrl}   (certificate of its own CA: ${this.publicCa})
  Sign in     ${admin.login}  /  ${admin.password}  and the code of an authenticator app:
                add the secret ${this.authenticators.secrets[admin.login].replace(/(.{4})(?=.)/g, '$1 ')} to yours, or ask
                node scripts/lib/demo/code.mjs ${this.state} ${admin.login}   (each code works once)
  Employee    ${this.employee.display_name} (${this.employee.login}) has a key, PIN ${PIN}: ${this.employeeUrl}

  Try it      set a new password on the employee's page, then log in with the key:
                pamtester ${this.pamService} ${this.employee.login} authenticate
              (with KRB5_CONFIG=${this.dc.krb5_config})
  The key     ${this.program('keyferry-sim')} ctl --socket ${this.keySocket} unplug | plug
  Workstation ${this.program('keyferry')} status --socket ${this.daemonSocket}

Events follow; Ctrl-C ends everything.
`;
  }

  /** The server's, daemon's and agent's logs from now on, one readable stream. */
  followEvents(print) {
    const logs = { server: this.path('server', 'keyferry-server.log'), daemon: this.path('daemon', 'keyferryd.log'), agent: this.path('agent', 'keyferry-agent.log') };
    for (const [name, file] of Object.entries(logs)) follow(file, (line) => {
      if (!/\b(trace|debug)\b/.test(line.slice(0, 48))) print(`${name.padEnd(7)} ${line}`);
    });
  }

  /** What the programs have logged as warnings and errors since `began` (milliseconds), the newest last: for a test that failed. */
  troubles(began, most = 12) {
    const since = new Date(began).toISOString(), found = [];
    for (const folder of ['server', 'daemon', 'agent'].filter((name) => fs.existsSync(this.path(name)))) {
      for (const name of fs.readdirSync(this.path(folder), { withFileTypes: true }).filter((entry) => entry.isFile() && entry.name.endsWith('.log')).map(({ name }) => name)) {
        const lines = fs.readFileSync(this.path(folder, name), 'utf8').split('\n');
        found.push(...lines.filter((line) => /^\S+ (warn|error)/.test(line) && line >= since).map((line) => [line, name]));
      }
    }
    return found.sort(([a], [b]) => (a < b ? -1 : 1)).slice(-most).map(([line, name]) => `    ${name}: ${line.slice(0, 400)}`).join('\n');
  }

  async stop() {
    for (const name of ['agent', 'daemon', 'key', 'server']) await this.services[name]?.stop().catch(() => {});
    await this.stopDirectory().catch(() => {});
    if (this.pamFile) fs.rmSync(this.pamFile, { force: true });
    fs.rmSync(this.path('demo.pid'), { force: true });
    if (this.ownState) fs.rmSync(this.state, { recursive: true, force: true });
  }
}

/** Asks again, ten times a second, until `look` finds something; the waited-for thing has no event that reaches us. */
async function until(what, look, why = () => '', timeout = PATIENCE) {
  const end = Date.now() + timeout;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${timeout / 1000} s until ${what}${why() ? `: ${why()}` : ''}`);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
}

/** Calls `print` with each line that is added to `file` from now on. */
function follow(file, print) {
  let offset = fs.existsSync(file) ? fs.statSync(file).size : 0, rest = '';
  fs.watch(path.dirname(file), () => {
    const size = fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    if (size <= offset) return;
    const buffer = Buffer.alloc(size - offset);
    const fd = fs.openSync(file, 'r');
    fs.readSync(fd, buffer, 0, buffer.length, offset);
    fs.closeSync(fd);
    offset = size;
    const lines = (rest + buffer.toString('utf8')).split('\n');
    rest = lines.pop();
    lines.forEach(print);
  });
}

export { PIN, UIDS, until };
