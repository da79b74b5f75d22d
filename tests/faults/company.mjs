// The whole of Keyferry on real parts, with one employee whose password is changed while programs die or the network fails,
// and the checker of what must hold afterwards.
import fs from 'node:fs';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { ldapBind, login, Sink } from '../../scripts/lib/demo/login.mjs';
import { must, NotStarted, run } from '../../scripts/lib/demo/processes.mjs';
import { withSecondPort } from '../../scripts/lib/demo/second_key.mjs';
import { PIN, Stack, UIDS } from '../../scripts/lib/demo/stack.mjs';

const SETTLE_SECONDS = 2;

/** Asks again until `look` finds something or `timeout` ms have passed; then undefined. */
export async function poll(look, timeout, pause = 40) {
  const end = Date.now() + timeout;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) return undefined;
    await new Promise((resolve) => { setTimeout(resolve, pause); });
  }
}

/** States of a change's jobs, one for each key of the employee. */
export const jobs = (change) => (change.keys.length ? change.keys : [change]).map((key) => key.job_state);
/** Every key that is still in use has it. */
export const reached = (change) => change.state === 'done' && (change.keys.length ? change.keys : [change])
  .every((key) => key.in_use === false || ['delivered', 'used'].includes(key.job_state));

export class Company extends withSecondPort(Stack) {
  constructor(options) {
    super(options);
    this.sink = new Sink();
    this.released = new Set();
    this.acknowledged = [];
    this.restarts = [];
    this.lastSeq = {};
    this.requests = 0;
  }

  async start() {
    await super.start();
    this.writePamFile(this.sink.program);
    this.history = `/api/v1/employees/${this.employee.id}/changes`;
    // The first password: from here on the key and the directory have to agree.
    await this.change();
    await this.quiet();
    this.writes = await this.directoryWrites();
    await this.newAttempts();
    this.requests = 0;
  }

  /** Milliseconds for a whole directory call. */
  get directoryTimeout() { return 1500; }

  serverConfig() {
    return super.serverConfig()
      .replace('[passwords]\n', '[sign_in]\nstep_up_minutes = 720\n\n[passwords]\n')
      .replace('[directory]\n', `[directory]\nsettle_seconds = ${SETTLE_SECONDS}\ntimeout_ms = ${this.directoryTimeout}\n`)
      .replace(/^uris = .*$/m, (line) => (this.directoryUri ? `uris = ["${this.directoryUri}"]` : line));
  }

  /** From here on the employee has two keys. */
  async becomeTwoKeys() {
    this.secondDevice = await this.addSecondKey();
    await this.change();
    await this.quiet();
    await this.check();
  }

  get hasTwoKeys() { return Boolean(this.services.second?.running); }

  async stop() {
    await super.stop();
    this.sink.remove();
  }

  /** Ends a program and starts it again, with `failpoint` armed or with none. */
  async rearm(name, failpoint = null) {
    const service = this.services[name];
    await service.stop();
    service.env = { ...this.env, KEYFERRY_FAILPOINT: failpoint ?? '' };
    if (!failpoint) delete service.env.KEYFERRY_FAILPOINT;
    const began = Date.now();
    try {
      await service.start();
    } catch (error) {
      if (!failpoint || error instanceof NotStarted) throw error;  // with a failpoint it may well die before it is ready
    }
    if (!failpoint) this.restarts.push(Date.now() - began);
  }

  /**
   * After a test that failed the next one begins from a state that is whole again: every program runs with no failpoint armed,
   * keys are plugged in, the directory takes passwords, the network is sound, the newest change is on every key.
   */
  async whole() {
    delete this.env.KEYFERRY_FAILPOINT_STOP;
    if (this.proxy) this.proxy.armed = null;
    if (this.strict) await this.strictPolicy(false);
    for (const [name, service] of Object.entries(this.services)) {
      if (service.running) service.child.kill('SIGCONT');
      if (!service.running || service.env?.KEYFERRY_FAILPOINT) await this.rearm(name);
    }
    await this.keyControl('plug');
    if (this.services.second) await this.secondControl('plug');
    await this.change().then(() => this.quiet()).catch((cause) => console.log(`    ${cause.message}`));
    this.writes = await this.directoryWrites();
    await this.newAttempts();
    this.requests = 0;
    this.acknowledged = [];
  }

  died(name) { return !this.services[name].running; }

  /** POSTs a change. Returns {key, status, body}; status 0 when the connection broke. */
  async post({ key = randomUUID(), typed = null, mode = 'now' } = {}) {
    this.requests += 1;
    const path_ = `/api/v1/employees/${this.employee.id}/password`;
    const content = typed
      ? { form: { generate: 'false', password: typed, reason: 'fault test' } }
      : { json: { generate: true, reason: 'fault test', must_change: false, unlock: false, mode } };
    try {
      const { status, body } = await this.api.request('POST', path_, { ...content, headers: { 'Idempotency-Key': key } });
      if (status === 201) this.acknowledged.push(body.id);
      return { key, typed, mode, status, body };
    } catch (error) {
      return { key, typed, mode, status: 0, body: { detail: error.message } };
    }
  }

  /** While it is on, the directory refuses every password that the server can make for the employee. */
  async strictPolicy(on) {
    const database = ['-H', path.join(this.path('dc'), 'private', 'sam.ldb')];
    if (on) {
      await must('samba-tool', ['domain', 'passwordsettings', 'pso', 'create', 'strict', '1', '--min-pwd-length=200', ...database]);
      this.strict = true;
      await must('samba-tool', ['domain', 'passwordsettings', 'pso', 'apply', 'strict', this.employee.login, ...database]);
    } else if (this.strict) {
      await must('samba-tool', ['domain', 'passwordsettings', 'pso', 'delete', 'strict', ...database]);
      this.strict = false;
    }
  }

  async changes() { return (await this.api.must('GET', this.history)).changes; }

  /** One change that has to succeed in the end: repeats with a fresh key while the last one's outcome is open. */
  async change() {
    let last;
    const done = await poll(async () => {
      last = await this.post();
      return last.status === 201 && last;
    }, 60000, 300);
    if (!done) throw new Error(`no new change was possible: ${last.status} ${last.body?.detail}`);
    return done;
  }

  /** Waits until nothing is on its way: the newest change is final, its job delivered or its failure told. */
  async quiet() {
    const settled = await poll(async () => {
      const [newest] = await this.changes();
      return reached(newest) && newest;
    }, 60000);
    if (!settled) {
      const [newest] = await this.changes();
      throw new Error(`the newest change stays ${newest.state}, its jobs ${jobs(newest)}: ${newest.error || newest.last_error}`);
    }
    return settled;
  }

  /** How often the directory has taken a password for the employee, by its own replication metadata. */
  async directoryWrites() {
    const text = await must('ldbsearch', ['-H', path.join(this.path('dc'), 'private', 'sam.ldb'), '--show-binary',
      `(sAMAccountName=${this.employee.login})`, 'replPropertyMetaData']);
    const found = /DRSUAPI_ATTID_unicodePwd[^]*?version\s*:\s*0x[0-9a-f]+ \((\d+)\)/i.exec(text);
    if (!found) throw new Error('the directory shows no metadata of unicodePwd');
    return Number(found[1]);
  }

  /** How many attempts at the employee's password the audit log has since this was asked last. A restore may have taken rows away. */
  async newAttempts() {
    const { rows } = await this.api.must('GET', `/api/v1/audit?action=password.attempt&target=${encodeURIComponent(this.employee.login)}&limit=200`);
    const last = this.lastAttempt ?? { time: 0 };
    this.lastAttempt = rows[0] ?? last;
    const known = rows.findIndex(({ hash, time }) => hash === last.hash || time < last.time);
    return known === -1 ? rows.length : known;
  }

  /** Logs in with the key; what was released goes to the sink. */
  async login() {
    const { ok, output } = await login(this.pamService, this.employee.login, [PIN], this.env);
    if (!ok) return { ok, output };
    const password = this.sink.take();
    this.released.add(password);
    return { ok, password };
  }

  /** A login with each key alone: `[name, {ok, password, output}]`. */
  async logins() {
    if (!this.hasTwoKeys) return [['the key', await this.login()]];
    const out = [];
    for (const [name, others] of [['the first key', (command) => this.secondControl(command)], ['the second key', (command) => this.keyControl(command)]]) {
      await others('unplug');
      await this.daemonSees(1);
      out.push([name, await this.login()]);
      await others('plug');
      await this.daemonSees(2);
    }
    return out;
  }

  /** The invariants of docs/security.md, after everything has come to rest. Throws with the first that is broken. */
  async check() {
    const problems = [];
    const changes = await this.changes();
    // I1: what the directory has is what the key gives.
    for (const [name, { ok, password, output }] of await this.logins()) {
      if (!ok) problems.push(`I1: ${name} does not log in: ${output.trim().split('\n').pop()}`);
      else if (!await ldapBind(this.dc, this.employee.upn, password)) problems.push(`I1: the directory refuses what ${name} gives`);
    }
    // I2: nothing was queued that the directory did not confirm.
    for (const c of changes) {
      // A HOLD goes out before the directory is asked: the key can release nothing from it.
      const preparing = c.mode === 'at_delivery' && ['intent', 'held', 'failed', 'superseded'].includes(c.state);
      for (const key of c.keys) {
        if (['ready', 'spooled', 'delivered', 'used'].includes(key.job_state) && !(c.ad_set > 0) && !preparing) problems.push(`I2: job ${key.seq} of ${key.device.slice(0, 8)} is ${key.job_state} without evidence`);
      }
    }
    // Every key of the newest change has its own job, and none of an older one waits for it any more.
    const [newest, ...older] = changes;
    if (newest.ad_set > 0 && newest.keys.length !== (this.hasTwoKeys ? 2 : 1)) problems.push(`I1: the newest change has jobs for ${newest.keys.length} keys`);
    for (const c of older) {
      if (jobs(c).some((state) => ['ready', 'spooled'].includes(state))) problems.push(`I3: a job of the older change ${c.id} still waits`);
    }
    // I3: a key's sequence only grows.
    for (const [name, control] of [['first', 'keyControl'], ...(this.hasTwoKeys ? [['second', 'secondControl']] : [])]) {
      const { last_seq: seq } = JSON.parse(await this[control]('status'));
      if (seq < (this.lastSeq[name] ?? 0)) problems.push(`I3: the ${name} key fell from ${this.lastSeq[name]} to ${seq}`);
      this.lastSeq[name] = seq;
    }
    // I4: what was acknowledged exists.
    const known = new Set(changes.map((c) => c.id));
    for (const id of this.acknowledged) if (!known.has(id)) problems.push(`I4: the acknowledged change ${id} is gone`);
    this.acknowledged = [];
    // I5: no write that nobody asked for.
    const writes = await this.directoryWrites();
    if (writes - this.writes > this.requests) problems.push(`I5: ${writes - this.writes} directory writes for ${this.requests} requests`);
    // I7: no write without a row of the audit log that was there before.
    const attempts = await this.newAttempts();
    if (writes - this.writes > attempts) problems.push(`I7: ${writes - this.writes} directory writes, ${attempts} attempts in the audit log`);
    this.writes = writes;
    this.requests = 0;
    // A change that the server calls refused or failed did not happen; one called done did. With I1 and I5 only the claim is left.
    for (const c of changes.slice(0, 8)) {
      if (['intent', 'held', 'attempt'].includes(c.state)) problems.push(`a change stays ${c.state}`);
    }
    if (problems.length) throw new Error(problems.join('; '));
  }

  /** I7: the audit trail is whole. Ends the server. */
  async checkAudit() {
    await this.services.server.stop();
    const audit = await run(this.program('keyferry-server'), ['audit', 'verify', '--config', this.path('server', 'keyferry-server.toml')], { uid: UIDS.server });
    if (audit.code !== 0) throw new Error((audit.stderr || audit.stdout).trim());
    return audit.stdout.trim();
  }
}

/** Names of all failpoints, from the sources. */
export function failpoints(root) {
  const names = new Set();
  const visit = (folder) => {
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      const file = path.join(folder, entry.name);
      if (entry.isDirectory()) visit(file);
      else if (/\.(cc|h)$/.test(entry.name)) {
        for (const [, name] of fs.readFileSync(file, 'utf8').matchAll(/KEYFERRY_FAILPOINT\("([a-z_.]+)"\)/g)) names.add(name);
      }
    }
  };
  for (const folder of ['server', 'client-daemon', 'firmware-sim']) visit(path.join(root, folder));
  return [...names].sort();
}
