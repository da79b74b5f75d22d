// scripts/bench saga: what a change costs above the bare LDAP write, on one domain controller, in one run.
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { execFileSync, spawn } from 'node:child_process';
import os from 'node:os';
import { createInterface } from 'node:readline';
import { randomUUID } from 'node:crypto';
import { ROOT, Stack, UIDS, until } from '../../scripts/lib/demo/stack.mjs';
import { must, Service } from '../../scripts/lib/demo/processes.mjs';

const KEYS = 64;
const DAEMONS = 4;
const TURNS = 100;
const ROUND = 50;  // people who take turns
const CROWDS = 8;
const CONNECTIONS = 4;  // the server's default, `directory.connections`
const bench = path.join(ROOT, 'build/release/bin/bench_saga');
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const high = (values, part) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))];
const ms = (value) => `${value.toFixed(1)} ms`;

/** The demo's organisation with 64 employees, a simulated key each. */
class Firm extends Stack {
  constructor(options) {
    super(options);
    this.people = [];
  }

  serverConfig() { return super.serverConfig().replace('level = "trace"', 'level = "info"'); }

  async startDirectory() {
    await super.startDirectory();
    for (let i = 0; i < KEYS; ++i) this.people.push({ login: `bench.user${i}`, dn: `CN=Bench User ${i},${this.dc.people_dn}` });
    const quoted = Buffer.from('"First-Password-of-Bench"', 'utf16le').toString('base64');
    const ldif = this.people.map(({ login, dn }) => `dn: ${dn}\nobjectClass: user\nsAMAccountName: ${login}\nuserPrincipalName: ${login}@${this.dc.realm.toLowerCase()}\n`
      + `displayName: ${login}\nunicodePwd:: ${quoted}\nuserAccountControl: 512\n`).join('\n');
    const secret = this.path('admin-password');
    fs.writeFileSync(secret, this.dc.domain_admin_password, { mode: 0o600 });
    await must('ldapadd', ['-x', '-H', this.dc.ldaps_uri, '-D', this.dc.domain_admin_upn, '-y', secret],
      { input: ldif, env: { LDAPTLS_CACERT: this.dc.ca_file } });
    fs.rmSync(secret);
    const [pid] = fs.readFileSync(this.path('dc', 'pid'), 'utf8').split(' ');
    this.dcSession = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[3];
    this.bindSecret = this.path('bind-password');
    fs.writeFileSync(this.bindSecret, `${this.dc.service_password}\n`, { mode: 0o600 });
  }

  async startKey() {
    const port = this.path('run', 'key');
    this.folder('run', 0, 0o755);
    this.folder('run/key', UIDS.key, 0o750);
    fs.chownSync(port, UIDS.key, UIDS.daemon);
    this.keySocket = path.join(port, '0.sock');
    this.sockets = this.people.map((_, i) => path.join(port, `${i}.sock`));
    await Promise.all(this.sockets.map(async (socket, i) => {
      const service = new Service('keyferry-sim', this.program('keyferry-sim'),
        ['--socket', socket, '--state', this.path('key', `${i}.bin`), '--touch', 'auto', '--share'],
        { uid: UIDS.key, log: this.path('logs', `key-${i}.log`), ready: /ready/ });
      this.services[`key${i}`] = service;
      await service.start();
    }));
  }

  /** Four daemons, as one reports 16 keys. Nobody logs in here, so there is no agent. */
  async startWorkstation() {
    for (let number = 0; number < DAEMONS; ++number) {
      const name = `daemon${number}`, sockets = this.sockets.filter((_, i) => i % DAEMONS === number);
      this.folder(name, UIDS.daemon);
      this.folder(`run/${name}`, UIDS.daemon, 0o755);
      this.secret(this.path(name, 'keyferryd.toml'), `server_url = "https://localhost:${this.port}"
server_ca = "${this.publicCa}"
state_dir = "${this.path(name, 'state')}"
socket = "${this.path('run', name, 'daemon.sock')}"
name = "bench-workstation-${number}"

[keys]
usb = "off"
bluetooth = false
sockets = [${sockets.map((socket) => `"${socket}"`).join(', ')}]
`, UIDS.daemon);
      this.services[name] = new Service(name, this.program('keyferryd'), ['--config', this.path(name, 'keyferryd.toml')],
        { uid: UIDS.daemon, env: this.env, log: this.path('logs', `${name}.log`), ready: /^ready/m });
      await this.services[name].start();
    }
  }

  writePamFile() {}

  async enrol() {
    const { api } = this;
    const pending = await until('the workstations register', async () => {
      const all = (await api.must('GET', '/api/v1/workstations')).workstations;
      return all.length === DAEMONS && all;
    });
    for (const { id } of pending) await api.must('POST', `/api/v1/workstations/${id}/approve`, { json: {} });
    const keys = await until('the workstations see all keys', async () => {
      const seen = (await api.must('GET', '/api/v1/keys/unassigned')).keys;
      return seen.length === KEYS && seen;
    }, undefined, 60000);
    for (const [i, person] of this.people.entries()) {
      person.id = (await api.must('GET', `/api/v1/employees?query=${person.login}`)).people.find(({ login }) => login === person.login).id;
      const begun = await api.must('POST', '/api/v1/enrolments', { json: { account: person.id, device: keys[i].device, workstation: keys[i].workstation } });
      await until(`key ${i} is enrolled`, async () => (await api.must('GET', `/api/v1/enrolments/${begun.id}`)).state === 'done');
    }
  }

  async stop() {
    for (const { process: client } of Object.values(this.clients ?? {})) client.stdin.end();
    this.writer?.stdin.end();
    await Promise.all(Object.keys(this.services).filter((name) => name.startsWith('key') || name.startsWith('daemon')).map((name) => this.services[name].stop().catch(() => {})));
    await super.stop();
  }

  /**
   * The domain controller and the workstations are other machines everywhere but here: they get half of the processors, for the bare loop as for the server, which
   * has the other half. Otherwise the scheduler wakes them where the server is at work, and what they do at the same time is done in turns.
   */
  apart() {
    const half = Math.floor(os.cpus().length / 2);
    if (half === 0) return 'the domain controller shares it with all else';
    const sessionOf = (pid) => fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[3];
    const put = (pid, processors) => execFileSync('taskset', ['-acp', processors, String(pid)], { stdio: 'ignore' });
    for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        if (sessionOf(pid) === this.dcSession) put(pid, `0-${half - 1}`);
      } catch { /* it has ended */ }
    }
    for (const pid of [process.pid, this.services.server.pid]) put(pid, `${half}-${os.cpus().length - 1}`);
    for (const [name, { pid }] of Object.entries(this.services)) if (name !== 'server') put(pid, `0-${half - 1}`);
    return `the domain controller and the workstations have ${half} for themselves`;
  }

  agent() { return new https.Agent({ ca: fs.readFileSync(this.publicCa), keepAlive: true, maxSockets: 2 * KEYS }); }

  /** One change by the API; how long until it answered that the directory has it. */
  async change(person) {
    const began = performance.now();
    const answer = await this.api.must('POST', `/api/v1/employees/${person.id}/password`, { json: { generate: true, reason: 'bench', must_change: false, unlock: false } });
    return { took: performance.now() - began, answer };
  }

  /** The client `bench_saga WHAT`, which goes on: what it is told, and its next line. */
  told(what) {
    this.clients ??= {};
    const client = this.clients[what] ??= { process: spawn(bench, [what, 'localhost', String(this.port), this.publicCa], { stdio: ['pipe', 'pipe', 'inherit'] }) };
    client.lines ??= createInterface({ input: client.process.stdout })[Symbol.asyncIterator]();
    return { input: client.process.stdin, next: async () => {
      const { value, done } = await client.lines.next();
      if (done) throw new Error(`bench_saga ${what} ended`);
      return value;
    } };
  }

  /** A change, as `bench_saga` sends it. */
  request({ id }) {
    const body = JSON.stringify({ generate: true, reason: 'bench', must_change: false, unlock: false });
    const request = `POST /api/v1/employees/${id}/password HTTP/1.1\r\nHost: localhost:${this.port}\r\nAccept: application/json\r\nContent-Type: application/json\r\n`
      + `Content-Length: ${body.length}\r\nCookie: ${this.api.cookie}\r\nX-Keyferry-CSRF: ${this.api.csrf}\r\nOrigin: ${this.api.base.origin}\r\nIdempotency-Key: ${randomUUID()}\r\n\r\n${body}`;
    return `${request.length}\n${request}`;
  }

  /** Like change(), but measured by a client as lean as the bare loop: {took, began}, ms and Unix ms. */
  async save(person) {
    const client = this.told('send');
    client.input.write(this.request(person));
    const [took, status, began] = (await client.next()).split(' ').map(Number);
    if (status >= 300) throw new Error(`a change was answered with ${status}`);
    return { took, began };
  }

  /** All people's changes at once, each on a connection that is open when `open` is called: ms until the last is answered. */
  async saveTogether(open) {
    const client = this.told('crowd');
    client.input.write(`${this.people.length}\n`);
    if (await client.next() !== 'ready') throw new Error('the connections are not open');
    open();
    client.input.write(this.people.map((person) => this.request(person)).join(''));
    const [took, refused] = (await client.next()).split(' ').map(Number);
    if (refused !== 0) throw new Error(`${refused} changes were refused`);
    return took;
  }

  /** The same many password writes by a bare loop, with `ask` each with a change's questions before it: {rate, each}. */
  async bare(people, connections, rounds, ask = false) {
    const text = await must(bench, ['ldap', this.dc.ldaps_uri, this.dc.ca_file, this.dc.service_upn, this.bindSecret, String(connections), String(rounds)],
      { input: people.map(({ id, dn }) => (ask ? `ask ${id} ${dn}\n` : `${dn}\n`)).join(''), timeout: 300000 });
    const [rate, each] = text.trim().split(' ').map(Number);
    return { rate, each };
  }

  /** One bare write, or with `ask` a change's questions before it, on a connection that is kept: a promise of the numbers that bench_saga prints. */
  async alone(order, { id, dn }) {
    if (!this.writer) {
      this.writer = spawn(bench, ['alone', this.dc.ldaps_uri, this.dc.ca_file, this.dc.service_upn, this.bindSecret], { stdio: ['pipe', 'pipe', 'inherit'] });
      this.written = createInterface({ input: this.writer.stdout })[Symbol.asyncIterator]();
    }
    this.writer.stdin.write(order === 'ask' ? `ask ${id} ${dn}\n` : `write ${dn}\n`);
    const { value, done } = await this.written.next();
    if (done) throw new Error('bench_saga alone ended');
    return value.split(' ').map(Number);
  }

  /** As long as a key takes to get its password, so that a bare write, too, comes when the directory has rested. */
  pause() { return new Promise((resolve) => { setTimeout(resolve, 50); }); }

  async newest({ id }) { return (await this.api.must('GET', `/api/v1/employees/${id}/changes`)).changes[0]; }

  /** The keys of these people have what was set. */
  async delivered(people) {
    for (const person of people) {
      await until(`${person.login}'s key has the password`, async () => (await this.newest(person)).state === 'done', undefined, 120000);
    }
  }

  /** Stops the workstations' processes, which would share this machine's processors with the server, or lets them go on. */
  workstations(signal) {
    for (let number = 0; number < DAEMONS; ++number) process.kill(this.services[`daemon${number}`].pid, signal);
  }

  /** Of the server while `work` runs: messages to the directory (libldap sends each with one call), syncs of the threads that sent them, and all syncs. */
  async counted(work) {
    const log = this.path('logs', 'calls');
    const tracer = spawn('strace', ['-f', '-qq', '-yy', '-e', 'trace=fsync,fdatasync,sendto', '-o', log, '-p', String(this.services.server.pid)], { stdio: ['ignore', 'ignore', 'pipe'] });
    await new Promise((resolve) => { setTimeout(resolve, 500); });  // attached to every thread
    await work();
    const ended = new Promise((resolve) => { tracer.on('close', resolve); });
    tracer.kill('SIGINT');
    await ended;
    const lines = fs.readFileSync(log, 'utf8').split('\n');
    const messages = lines.filter((line) => /sendto\([^ ]*:636\]/.test(line)), threadOf = (line) => line.split(' ')[0];
    const changing = new Set(messages.map(threadOf)), syncs = lines.filter((line) => /(fsync|fdatasync)\(/.test(line));
    return { messages: messages.length, syncs: syncs.filter((line) => changing.has(threadOf(line))).length, allSyncs: syncs.length };
  }

  /** Seconds of processor time that the server took so far. */
  spent() {
    const fields = fs.readFileSync(`/proc/${this.services.server.pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) / Number(execFileSync('getconf', ['CLK_TCK']));
  }
}

async function single(firm) {
  const set = [], answered = [], bare = [], questions = [], both = [];
  // In turns and each alone, so that all meet the same machine: the change before is on its key. The first turn opens connections.
  for (let turn = 0; turn <= TURNS; ++turn) {
    const person = firm.people[turn % ROUND];
    const { took, began } = await firm.save(person);
    await firm.delivered([person]);
    // When the server had the directory's answer, by the change itself. It is rounded down to whole milliseconds.
    const confirmed = (await firm.newest(person)).ad_set + 0.5 - began;
    const [write] = await firm.alone('write', person);
    await firm.pause();
    const [asking, whole] = await firm.alone('ask', person);
    await firm.pause();
    if (turn === 0) continue;
    set.push(confirmed);
    answered.push(took);
    bare.push(write);
    questions.push(asking);
    both.push(whole);
  }
  const sync = Number(await must(bench, ['sync', firm.path('server'), '100']));
  console.log(`Save → AD confirmed   ${ms(median(set))} at the median of ${TURNS}, ${ms(high(set, 0.95))} at the 95th of 100; the page says done after ${ms(median(answered))}, ${ms(high(answered, 0.95))}`);
  console.log(`bare unicodePwd       ${ms(median(bare))}; one sync of the disk ${ms(sync)}`);
  console.log(`bare, asked first     ${ms(median(both))}: with what must be known before a write may leave (${ms(median(questions))})`);
  console.log(`ratio                 ${((median(set) - sync) / median(bare)).toFixed(2)} × the bare write, the sync before it taken off (goal 1.10)`);
  console.log(`until done            ${((median(answered) - 2 * sync) / median(bare)).toFixed(2)} × the bare write and ${((median(answered) - 2 * sync) / median(both)).toFixed(2)} × the bare requests, both syncs taken off`);
  const COUNT = 10, people = firm.people.slice(ROUND, ROUND + COUNT), all = async () => { for (const person of people) await firm.change(person); };
  firm.workstations('SIGSTOP');
  const untilAnswer = await firm.counted(all);
  firm.workstations('SIGCONT');
  await firm.delivered(people);
  const whole = await firm.counted(async () => { await all(); await firm.delivered(people); });
  console.log(`a change              ${(untilAnswer.messages / COUNT).toFixed(1)} messages to the directory, ${(untilAnswer.syncs / COUNT).toFixed(1)} syncs before the page says done (goal 2), ${(whole.allSyncs / COUNT).toFixed(1)} of all that the server does until the key has it`);
}

/** Ticks in which the first half of the processors, which the domain controller has (apart()), was idle, and all of them. */
function idleTicks() {
  const half = Math.floor(os.cpus().length / 2);
  const rows = fs.readFileSync('/proc/stat', 'utf8').split('\n').map((line) => line.split(/\s+/)).filter(([name]) => /^cpu\d/.test(name) && Number(name.slice(3)) < half);
  const sum = (fields) => fields.reduce((total, field) => total + Number(field), 0);
  return { idle: sum(rows.map((row) => row[4])) + sum(rows.map((row) => row[5])), all: sum(rows.map((row) => sum(row.slice(1, 9)))) };
}

async function crowd(firm) {
  const ours = [], together = [], bare = [], asking = [];  // changes a second, in each turn
  const rest = { ours: [], bare: [] };  // parts of the time in which the domain controller had nothing to do
  // What the pages took while changes ran, and while the bare loop ran.
  const took = { ours: {}, bare: {} };
  let pages = null, refused = 0;
  const visitor = Object.assign(Object.create(Object.getPrototypeOf(firm.api)), firm.api, { agent: firm.agent() });
  for (const page of ['/', '/employees', '/keys', '/workstations', '/audit']) await visitor.request('GET', page);
  // One after the other at fixed times, however long those before took: else the slower side would be asked for fewer.
  const looks = ['/employees?query=anna', '/keys', '/workstations', '/audit'], visits = [];
  const look = async (page, into) => {
    const began = performance.now();
    const { status } = await visitor.request('GET', page, { headers: { Accept: 'text/html' } });
    if (into) (into[page] ??= []).push(performance.now() - began);
    if (into === took.ours && status !== 200) refused += 1;
  };
  const visiting = setInterval(() => { visits.push(look(looks[visits.length % looks.length], pages)); }, 50);
  const resting = (before) => { const now = idleTicks(); return (now.idle - before.idle) / (now.all - before.all); };
  const crowded = async (into) => {
    let spent, ticks;
    const time = await firm.saveTogether(() => {
      [spent, ticks] = [firm.spent(), idleTicks()];
      pages = took.ours;
    });
    pages = null;
    into.push(KEYS / (time / 1000));
    const now = firm.spent();
    return { server: now - spent, resting: resting(ticks) };
  };
  let spent = 0;
  const alone = async () => {  // without the workstations' work on the same processors
    firm.workstations('SIGSTOP');
    const round = await crowded(ours);
    firm.workstations('SIGCONT');
    spent += round.server;
    rest.ours.push(round.resting);
    await firm.delivered(firm.people);
  };
  const without = async () => {
    pages = took.bare;
    const ticks = idleTicks();
    bare.push((await firm.bare(firm.people, CONNECTIONS, 1)).rate);
    rest.bare.push(resting(ticks));
    pages = null;
    asking.push((await firm.bare(firm.people, CONNECTIONS, 1, true)).rate);
  };
  // In turns, each side first as often: the machine is not equally quick all the time.
  for (let turn = 0; turn < CROWDS; ++turn) {
    for (const side of turn % 2 ? [alone, without] : [without, alone]) await side();
    await crowded(together);
    await firm.delivered(firm.people);
  }
  clearInterval(visiting);
  await Promise.all(visits);
  const all = Object.values(took.ours).flat(), percent = (part) => `${(100 * part).toFixed(1)} %`;
  const worst = (of) => Object.entries(of).map(([page, times]) => `${page} ${ms(high(times, 0.99))}`).join(', ');
  const ratio = (of) => ours.map((rate, turn) => rate / of[turn]);
  console.log(`64 at once            ${median(ours).toFixed(1)} changes a second at the median of ${CROWDS} (${median(together).toFixed(1)} with the workstations and keys on the same machine); the bare loop with ${CONNECTIONS} connections ${median(bare).toFixed(1)}`);
  console.log(`ratio                 ${median(ratio(bare)).toFixed(2)} of the bare loop's rate (goal 0.95; ${Math.min(...ratio(bare)).toFixed(2)} to ${Math.max(...ratio(bare)).toFixed(2)} in single turns), ${median(ratio(asking)).toFixed(2)} of the one that asks first what must be known (${median(asking).toFixed(1)})`);
  console.log(`domain controller     had nothing to do in ${percent(median(rest.ours))} of the time, in the bare loop in ${percent(median(rest.bare))}; the server with the pages took ${ms(spent * 1000 / (CROWDS * KEYS))} of processor a change`);
  console.log(`pages meanwhile       ${ms(median(all))} at the median, ${ms(high(all, 0.99))} at the 99th of 100 (goal 50 ms), ${all.length} of them, ${refused} not answered: ${worst(took.ours)}`);
  console.log(`beside the bare loop  ${worst(took.bare)}`);
}

async function queue() {
  const shared = '/dev/shm';  // what the queue costs, not the disk
  const sizes = [1000, 30000, 1000000];
  const took = (await must(bench, ['queue', shared, ...sizes.map(String)], { timeout: 900000 })).trim().split('\n').map(Number);
  console.log(`queue                 a job is picked and handed out in ${sizes.map((jobs, i) => `${took[i]} µs of ${jobs}`).join(', ')}`);
  console.log(`ratio                 ${(took[2] / took[0]).toFixed(2)} × from 1k to 1M (goal 1.6)`);
}

const wanted = process.argv.slice(2);  // single, crowd, queue; none = all
const asked = (what) => wanted.length === 0 || wanted.includes(what);
if (asked('queue') && wanted.length === 1) {
  await queue();
  process.exit(0);
}
const firm = new Firm({ preset: 'release' });
try {
  await firm.start();
  const load = os.loadavg()[0].toFixed(1);
  console.log(`machine               ${os.cpus().length} processors, ${firm.apart()}; load ${load}`);
  firm.api.agent = firm.agent();
  if (asked('single')) await single(firm);
  if (asked('crowd')) await crowd(firm);
  if (asked('queue')) await queue();
} finally {
  await firm.stop();
}
