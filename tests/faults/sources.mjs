// Several password sources: the server killed around each write, a slapd that goes away, a bad network before it. Looks at both directories.
import fs from 'node:fs';
import path from 'node:path';
import { scanBeside } from '../../scripts/lib/demo/canary.mjs';
import { ldapBind } from '../../scripts/lib/demo/login.mjs';
import { FIRST_PASSWORD, linked } from '../../scripts/lib/demo/slapd.mjs';
import { Company, poll } from './company.mjs';
import { atEachRequest, DirectoryProxy, KINDS } from './network.mjs';

const OVER = ['confirmed', 'not_set', 'superseded'];

// Where to die, and what must be said of slapd afterwards (null: either is right, if it is true).
const PLACES = [
  ['server.change.begun', 'not_set'],  // the first was not asked
  ['server.change.set', 'not_set'],  // the first took it
  ['server.confirm.before_commit', 'not_set'],
  ['server.change.confirmed', 'not_set'],
  ['server.change.handed_out', 'not_set'],
  ['server.source.pinned', 'not_set'],
  ['server.source.before_commit', 'not_set'],  // of the attempt
  ['server.source.attempted', 'not_set'],
  // The first request is slapd's trial (No-Op), before anything is stored: who asks again begins the change. The second is the first directory's password.
  ['server.directory.answered', 'confirmed'],
  ['server.directory.before_send:3', 'not_set'],
  ['server.directory.sent:3', null],
  ['server.directory.answered:3', 'confirmed'],
  ['server.source.set', 'confirmed'],
  ['server.source.before_commit:2', 'confirmed'],  // of the outcome
  ['server.source.confirmed', 'confirmed'],
];
const AT_DELIVERY = [
  ['server.wait.begun', null],
  ['server.held.attempted', 'not_set'],
  ['server.change.confirmed', 'not_set'],
  ['server.source.attempted', 'not_set'],
  ['server.source.set', 'confirmed'],
];

/** Every change goes to slapd as well, through a proxy. */
class LinkedCompany extends linked(Company, { preset: true }) {
  async startDirectory() {
    await super.startDirectory();
    this.proxy ??= new DirectoryProxy(this.lab.uri);
    this.proxied ??= await this.proxy.listen();
    this.labPassword = FIRST_PASSWORD;
  }

  get labUri() { return this.proxied; }

  async stop() {
    await super.stop();
    this.proxy?.close();
  }

  async whole() {
    if (!this.lab.child) await this.lab.start();
    await super.whole();
    this.labPassword = await current(this);
  }

  passwords() { return this.lab.passwords(this.employee.login); }
  labTakes(password) { return this.lab.binds(this.employee.login, password); }

  /** What the server says of slapd is so: `password` is the first directory's and the key's. */
  async checkLab(change, password) {
    const [source] = change.sources;
    if (!source) throw new Error('the change names no source');
    const [fresh, old] = [await this.labTakes(password), await this.labTakes(this.labPassword)];
    if (source.state === 'confirmed' && !fresh) throw new Error('slapd is said to have the password, and refuses it');
    if (source.state === 'not_set' && (!old || (fresh && password !== this.labPassword))) throw new Error(`slapd is said not to have the password: ${fresh ? 'it has' : 'nor the old one'}`);
    if (source.state === 'not_set' && !source.error) throw new Error('no cause is told');
    if (!fresh && !old) throw new Error('slapd has a password that nobody knows');
    if (fresh) this.labPassword = password;
  }

  /** As ever, and at rest the newest change tells the truth of slapd too. */
  async check() {
    await super.check();
    const [newest] = await this.changes();
    const [source] = newest.sources;
    if (!source || !OVER.includes(source.state)) throw new Error(`slapd stays ${source?.state}`);
    await this.checkLab(newest, [...this.released].at(-1));
  }
}

/** What the key gives and Active Directory takes. */
async function current(company) {
  const { ok, password, output } = await company.login();
  if (!ok) throw new Error(`the key does not log in: ${output.trim().split('\n').pop()}`);
  if (!await ldapBind(company.dc, company.employee.upn, password)) throw new Error('the directory refuses what the key gives');
  return password;
}

async function killAtSource(company, failpoint, expected, { mode = 'now', typed = null } = {}) {
  const before = await company.passwords();
  const known = new Set((await company.changes()).map(({ id }) => id));
  await company.rearm('server', failpoint);
  const request = await company.post({ mode, typed });
  if (!await poll(() => company.died('server'), 60000)) throw new Error(`never reached: ${request.status} ${request.body?.detail ?? ''}`);
  await company.rearm('server');
  // Whoever got no answer asks again, and gets no second change.
  if (request.status !== 201) {
    const again = await company.post(request);
    company.requests -= 1;
    if (again.status === 0) throw new Error(`no answer after the restart: ${again.body.detail}`);
  }
  const ours = async () => (await company.changes()).find(({ id }) => !known.has(id));
  const over = ({ state }) => ['done', 'failed'].includes(state);
  let change = await poll(async () => {
    const found = await ours();
    return found && over(found) && OVER.includes(found.sources[0].state) && found;
  }, 6000) ?? await ours();
  if (!change) throw new Error('asked again, it is not begun');
  if (over(change) && OVER.includes(change.sources[0].state)) await company.checkLab(change, await current(company));
  // What is not known yet is decided when the next change wants to begin, and then everything agrees.
  const { id } = change;
  await company.change();
  await company.quiet();
  change = (await company.changes()).find((one) => one.id === id);
  const [source] = change.sources;
  if (!OVER.includes(source.state)) throw new Error(`it stays ${source.state}`);
  if (expected && source.state !== expected) throw new Error(`it says ${source.state}: ${source.error}`);
  const writes = await company.passwords() - before;
  if (writes > (source.state === 'confirmed' ? 2 : 1)) throw new Error(`${writes} writes to slapd`);
  await company.check();
  return source.state;
}

/** One change while the n-th piece that goes to slapd meets a fault. Returns what was claimed; null and undefined as in network.mjs. */
async function faultyChange(company, kind, n) {
  const before = await company.passwords();
  const armed = company.proxy.arm(kind, n);
  const answer = await company.post();
  company.proxy.armed = null;
  const written = await company.passwords() - before;
  if (answer.status !== 201) {
    if (written !== 0) throw new Error(`request ${n}: refused with ${answer.body?.detail}, and slapd took ${written}`);
    if (armed.met && !/"Lab"/.test(answer.body?.detail)) throw new Error(`request ${n}: ${answer.body?.detail}`);
    await company.change();
    await company.quiet();
    await company.check();
    return armed.met ? 'refused' : undefined;
  }
  const [source] = answer.body.sources;
  if (source.state === 'confirmed' && written !== 1) throw new Error(`request ${n}: said to be set, slapd took ${written}`);
  if (source.state === 'not_set' && written !== 0) throw new Error(`request ${n}: said not to be set, slapd took ${written}`);
  if (written > 1) throw new Error(`request ${n}: ${written} writes`);
  if (source.state !== 'confirmed') {
    await company.quiet();
    await company.change();
  }
  await company.quiet();
  await company.check();
  if (armed.met) return source.state;
  return source.state === 'confirmed' ? null : undefined;
}

/** The server stands still once the first has the password; slapd goes away; the server goes on. */
async function goesAway(company) {
  company.env = { ...company.env, KEYFERRY_FAILPOINT_STOP: '1' };
  await company.rearm('server', 'server.change.set');
  delete company.env.KEYFERRY_FAILPOINT_STOP;
  const asked = company.post();
  const { pid } = company.services.server;
  const stands = await poll(() => /^State:\s+T/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8')), 60000);
  if (!stands) throw new Error('never reached');
  await company.lab.stop();
  process.kill(pid, 'SIGCONT');
  const answer = await asked;
  await company.lab.start();
  await company.rearm('server');
  if (answer.status !== 201) throw new Error(`it answered ${answer.status}: ${answer.body?.detail}`);
  const [source] = answer.body.sources;
  if (source.state !== 'not_set' || !/set a new one for both/.test(source.error)) throw new Error(`${source.state}: ${source.error}`);
  await company.quiet();
  await company.check();
  await company.change();
  await company.quiet();
  await company.check();
  return source.error.slice(0, 60);
}

/** What must hold at the end, whatever happened before. */
async function whole(company, test, name) {
  await test(`${name}: no released password in any file`, async () => {
    const { files, hits } = await scanBeside(['server', 'daemon', 'agent', 'logs', 'lab'].map((folder) => company.path(folder)), [...company.released]);
    if (hits.length) throw new Error(`${hits[0].encoding} in ${path.basename(hits[0].file)} and ${hits.length - 1} more`);
    return `${company.released.size} passwords, ${files} files`;
  });
  await test(`${name}: the audit trail is whole`, () => company.checkAudit());
}

export async function severalSources(withCompany, test) {
  await withCompany(async (company) => {
    await company.check();
    for (const [failpoint, expected] of PLACES) await test(`sources: killed at ${failpoint}`, () => killAtSource(company, failpoint, expected));
    for (const [failpoint, expected] of AT_DELIVERY) {
      await test(`sources: killed at ${failpoint}, at delivery`, () => killAtSource(company, failpoint, expected, { mode: 'at_delivery' }));
    }
    await test('sources: killed at server.source.refused', async () => {
      const had = 'Lab-Had-This-Before-1';
      for (const password of [had, 'Lab-Has-This-Now-1']) await company.lab.setPassword(company.employee.login, password);
      company.labPassword = 'Lab-Has-This-Now-1';
      return killAtSource(company, 'server.source.refused', 'not_set', { typed: had });
    });
    await test('sources: slapd goes away between the two writes', () => goesAway(company));
    await test('sources: the checker sees a password that another tool has set in slapd', async () => {
      await company.lab.setPassword(company.employee.login, 'Set-by-another-tool-1');
      const broken = await company.check().then(() => null, (error) => error.message);
      if (!/^slapd is said to have the password/.test(broken ?? '')) throw new Error(`it says: ${broken}`);
      await company.change();
      await company.quiet();
      await company.check();
      return broken.slice(0, 60);
    });
    await whole(company, test, 'sources');
  }, LinkedCompany);
}

/** The same organisation with each piece that goes to slapd met by each fault. */
export async function networkBeforeSource(withCompany, test) {
  await withCompany(async (company) => {
    for (const kind of Object.keys(KINDS)) {
      await test(`sources: network before slapd: ${kind}`, async () => {
        return atEachRequest((n) => faultyChange(company, kind, n));
      });
    }
    await whole(company, test, 'sources: network before slapd');
  }, LinkedCompany);
}
