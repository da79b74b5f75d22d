// Two servers on one PostgreSQL database: pages and API are asked at A, the workstation is connected to B.
import fs from 'node:fs';
import path from 'node:path';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { scanBeside } from '../../scripts/lib/demo/canary.mjs';
import { freePort, must, run, Service } from '../../scripts/lib/demo/processes.mjs';
import { ROOT, UIDS } from '../../scripts/lib/demo/stack.mjs';
import { Company, poll } from './company.mjs';
import { Witness } from './holders.mjs';
import { atDeliveryOnTwo } from './nodes_at_delivery.mjs';
import { lateWriteIsSeen } from './nodes_notice.mjs';
import { restoreOfDump } from './nodes_restore.mjs';

const SHARED = ['root.pub', 'issuer.key', 'issuer.cert', 'ca.pem', 'ca.key', 'audit.key', 'audit.pub'];
// Where A dies in the middle of a change.
const DEATHS = ['server.change.begun', 'server.change.set', 'server.confirm.before_commit', 'server.change.confirmed', 'server.events.before', 'server.events.told'];

// What the database calls the two servers.
const ROLES = ['keyferry', 'server_b'];

class TwoServers extends Company {
  /** And the last that the database says. */
  troubles(began, most) {
    const said = fs.readFileSync(path.join(this.database, 'data', 'log'), 'utf8').trimEnd().split('\n').slice(-20).map((line) => `    postgresql: ${line.slice(0, 300)}`);
    return `${super.troubles(began, most)}\n${said.join('\n')}`;
  }

  async startServer() {
    this.database = this.path('pg');
    this.url = (await must(path.join(ROOT, 'scripts/pg'), ['start', this.database])).trim();
    await super.startServer();
    this.witness = new Witness(this.database);
    await this.witness.install();
    await this.witness.sql('CREATE ROLE server_b LOGIN IN ROLE keyferry;');
    this.portB = await freePort();
    this.workstationPortB = await freePort();
    this.configB = this.path('server', 'b.toml');
    this.writeConfig(this.configB, 'state-b');
    this.copyMaterial('state-b');
    await must(this.program('keyferry-server'), ['init', '--config', this.configB], { uid: UIDS.server });
    this.services.b = new Service('keyferry-server', this.program('keyferry-server'), ['run', '--config', this.configB],
      { uid: UIDS.server, env: this.env, log: this.path('logs', 'server-b.log'), ready: /^ready/m });
    await this.services.b.start();
    this.apiA = this.api;
    this.apiB = new Api(`https://localhost:${this.portB}/`, this.publicCa, this.authenticators);
    // Whoever signed in at A is signed in at B.
    this.apiB.session = this.apiA.session;
  }

  /** The first server's configuration, for another one. */
  writeConfig(file, state, change = (text) => text) {
    const text = fs.readFileSync(this.path('server', 'keyferry-server.toml'), 'utf8')
      .replace(this.path('server', 'state'), this.path('server', state))
      .replace(`:${this.port}"`, `:${this.portB}"`).replace(`:${this.workstationPort}"`, `:${this.workstationPortB}"`)
      .replace('keyferry-server.log', `${state}.log`).replace('postgresql://keyferry@', 'postgresql://server_b@');
    this.secret(file, change(text), UIDS.server);
  }

  copyMaterial(state) {
    this.folder(path.join('server', state), UIDS.server);
    for (const name of SHARED) {
      fs.copyFileSync(this.path('server', 'state', name), this.path('server', state, name));
      fs.chownSync(this.path('server', state, name), UIDS.server, UIDS.server);
    }
  }

  serverConfig() { return super.serverConfig().replace('[server]\n', `[server]\nstorage = "${this.url}"\n`); }

  async startWorkstation() {
    const port = this.port;
    this.port = this.portB;
    await super.startWorkstation();
    this.port = port;
  }

  async stop() {
    await this.services.b?.stop().catch(() => {});
    await super.stop();
    await run(path.join(ROOT, 'scripts/pg'), ['wipe', this.database]);
  }

  async whole() {
    await run(path.join(ROOT, 'scripts/pg'), ['start', this.database]);  // one that runs refuses it
    await super.whole();
  }

  /** And I8. */
  async check() {
    await super.check();
    await this.checkHolders();
  }

  async checkHolders() {
    const problems = await this.witness.problems();
    if (problems.length) throw new Error(`I8: ${problems.join('; ')}`);
  }

  /** Does `work` with B in the place of A. */
  async atB(work) {
    this.api = this.apiB;
    try { return await work(); } finally { this.api = this.apiA; }
  }
}

const NOT_SETTLED = ['intent', 'held', 'attempt', 'unknown'];

/** A comes to `failpoint` in the middle of a change; B settles it: {asked, settled, seconds}. `meanwhile` is done first. */
async function settledByB(company, failpoint, meanwhile = () => {}) {
  const before = new Set((await company.changes()).map((c) => c.id));
  await company.rearm('server', failpoint);
  const asked = company.post();
  const fresh = async () => (await company.changes().catch(() => [])).find((c) => !before.has(c.id));
  const began = Date.now();
  await meanwhile();
  const settled = await company.atB(() => poll(async () => {
    const change = await fresh();
    return change && !NOT_SETTLED.includes(change.state) && change;
  }, 150000, 200));
  if (!settled) throw new Error(`B did not settle it: ${JSON.stringify(await company.atB(fresh))}`);
  return { asked, settled, seconds: ((Date.now() - began) / 1000).toFixed(1) };
}

/** Asked at B, with the same key, of a change that it has settled: no second one, and no other claim. */
async function askAgain(company, answer, settled) {
  const again = await company.post({ key: answer.key });
  company.requests -= 1;
  if (again.status === 0) throw new Error(`no answer from B: ${again.body.detail}`);
  if ((again.status === 201) !== ['confirmed', 'done'].includes(settled.state)) throw new Error(`B says ${again.status} of a change that is ${settled.state}`);
}

/** After it, everything is as it should be, with one change more where that one came to nothing. */
async function wholeAgain(company, settled) {
  await company.atB(async () => {
    if (settled.state === 'failed') await company.change();
    await company.quiet();
    await company.check();
  });
}

/** A dies at `failpoint` in the middle of a change; B settles it. */
async function takeOver(company, failpoint) {
  const { asked, settled, seconds } = await settledByB(company, failpoint);
  const answer = await asked;
  if (!company.died('server')) throw new Error('never reached');
  if (answer.status === 0) await company.atB(() => askAgain(company, answer, settled));
  else if (answer.status === 201 && settled.state === 'failed') throw new Error('A said done of what B had closed');
  await wholeAgain(company, settled);
  return `${settled.state} after ${seconds} s`;
}

/** A stands still in the middle of a change and has its lease for some seconds more: B leaves the change alone. */
async function leftAlone(company) {
  const still = () => /^State:\s*T/m.test(fs.readFileSync(`/proc/${company.services.server.pid}/status`, 'utf8'));
  if (!await poll(still, 30000)) throw new Error('A does not stand still');
  const answer = await company.atB(() => company.post());
  await company.checkHolders();
  if (answer.status !== 409 || !/another change/i.test(answer.body.detail)) throw new Error(`while A has the change B answers ${answer.status}: ${answer.body.detail}`);
}

/** A only stands still there, for longer than its lease, and goes on when B has settled the change. */
async function standStill(company, failpoint, afterwards, newer = () => {}) {
  const { server } = company.services;
  company.env = { ...company.env, KEYFERRY_FAILPOINT_STOP: '1' };
  try {
    const { takenOver } = await company.witness.summary();
    const { asked, settled, seconds } = await settledByB(company, failpoint, () => leftAlone(company));
    await company.checkHolders();
    if ((await company.witness.summary()).takenOver === takenOver) throw new Error('B settled it, but the record does not show that it took it over');
    if (settled.state !== 'failed') throw new Error(`B found that the directory had it (${settled.state})`);
    await company.atB(newer);
    const written = await company.directoryWrites();
    // Whoever asked has long since gone.
    const answer = await asked;
    if (answer.status !== 0) throw new Error(`A answered ${answer.status} while it stood still`);
    const log = () => fs.readFileSync(company.path('server', 'keyferry-server.log'), 'utf8');
    const known = log().length;
    process.kill(server.pid, 'SIGCONT');
    await afterwards({ settled, written, logs: (text) => poll(() => log().slice(known).includes(text), 10000) });
    await company.atB(() => askAgain(company, answer, settled));
    await wholeAgain(company, settled);
    return `given up after ${seconds} s`;
  } finally {
    delete company.env.KEYFERRY_FAILPOINT_STOP;
  }
}

export async function twoServers(withCompany, test) {
  await withCompany(async (company) => {
    await test('two servers: queued on one, delivered through the other', async () => {
      const times = [];
      for (let i = 0; i < 5; ++i) {
        await company.post();
        const began = Date.now();
        await company.quiet();
        times.push(Date.now() - began);
      }
      await company.check();
      return `on the key ${times.sort((a, b) => a - b)[2]} ms after the page said done (median of 5)`;
    });
    await test('two servers: sessions, sign-in limits and what workstations see are shared', async () => {
      const seenAtA = (await company.apiA.must('GET', '/api/v1/workstations')).workstations;
      const seenAtB = (await company.apiB.must('GET', '/api/v1/workstations')).workstations;
      for (const seen of [seenAtA, seenAtB]) {
        if (!seen.some((w) => w.connected && w.keys_seen === 1)) throw new Error(`a server does not see the workstation: ${JSON.stringify(seen)}`);
      }
      const wrong = (api) => api.request('POST', '/api/v1/session', { form: { name: 'nobody.at.all', password: 'wrong' } });
      const [a, b] = [company.apiA, company.apiB].map((api) => new Api(api.base.href, company.publicCa));
      const statuses = [];
      for (let i = 0; i < 10; ++i) statuses.push((await wrong(i % 2 ? a : b)).status);
      if (statuses.some((status) => status !== 401)) throw new Error(`answers before the limit: ${statuses}`);
      for (const api of [a, b]) {
        const { status } = await wrong(api);
        if (status !== 429) throw new Error(`after ten wrong passwords a server answers ${status}`);
      }
    });
    const testOfA = async (name, work) => {
      await test(name, work);
      await company.rearm('server');
    };
    for (const failpoint of DEATHS) await testOfA(`two servers: A killed at ${failpoint}, B takes over`, () => takeOver(company, failpoint));
    await testOfA('two servers: A stands still before the directory is asked, B takes over, A sends nothing any more', () => {
      return standStill(company, 'server.change.begun', async ({ written, logs }) => {
        if (!await logs('the lease has ended')) throw new Error('A does not say that its lease has ended');
        if (await company.directoryWrites() !== written) throw new Error('A wrote after B had settled the change');
      });
    });
    await testOfA('two servers: A stands still after its last look at the lease: what it writes late is told, and mended by the next change', () => {
      return standStill(company, 'server.directory.before_send', async ({ settled, written }) => {
        const told = await company.atB(() => poll(async () => {
          const change = (await company.changes()).find(({ id }) => id === settled.id);
          return change.incident && change;
        }, 10000));
        if (!told) throw new Error('nobody is told');
        if (!told.error.includes('already been given up')) throw new Error(`the page says: ${told.error}`);
        if (await company.directoryWrites() > written + 1) throw new Error('it wrote twice');
        await lateWriteIsSeen(company);
      });
    });
    await testOfA('two servers: A stands still after its last look at the lease, B settles the change and sets a newer one: what A then writes is told at the top of the page', () => {
      return standStill(company, 'server.directory.before_send', async () => {
        const told = await company.atB(() => poll(async () => (await company.changes())[0].incident, 10000));
        const [newest, older] = await company.atB(() => company.changes());
        if (!told) throw new Error(`the newest change is ${newest.state} and of no incident; the one before it says: ${older.error}`);
        await company.change();
        if ((await company.changes())[0].incident) throw new Error('a change after it does not mend it');
      }, () => company.change().then(() => company.quiet()));
    });
    await atDeliveryOnTwo(company, test);
    await test('two servers: B, with the workstation, is killed; what A queued meanwhile comes when it is back', async () => {
      await company.services.b.kill();
      const answer = await company.change();
      await company.services.b.start();
      await company.quiet();
      await company.check();
      return `change ${answer.status}`;
    });
    await test('two servers: the database restarts as after a power cut', async () => {
      await must(path.join(ROOT, 'scripts/pg'), ['stop', company.database, 'immediate']);
      const away = await company.post();
      if (away.status !== 503) throw new Error(`without a database a change answers ${away.status}`);
      await must(path.join(ROOT, 'scripts/pg'), ['start', company.database]);
      // Whoever found the database away answers 503 for a moment more.
      for (const api of [company.apiA, company.apiB]) {
        const back = await poll(async () => (await api.request('GET', company.history)).status === 200, 10000);
        if (!back) throw new Error(`${api.base.href} does not find the database again`);
      }
      await company.change();
      await company.quiet();
      await company.check();
    });
    await test('two servers: other settings, or another root, are refused', async () => {
      const refused = async (file, command, word) => {
        const { code, stderr } = await run(company.program('keyferry-server'), [command, '--config', file], { uid: UIDS.server });
        if (code === 0 || !stderr.includes(word)) throw new Error(`${command} exits ${code} with: ${stderr.trim()}`);
      };
      await company.services.b.stop();
      const file = company.path('server', 'c.toml');
      company.writeConfig(file, 'state-b', (text) => text.replace('allow_typing = true', 'allow_typing = true\nlength = 30'));
      await refused(file, 'run', 'passwords.length');
      company.writeConfig(file, 'state-c');
      company.folder('server/state-c', UIDS.server);
      await refused(file, 'init', 'copy root.pub');
      company.copyMaterial('state-c');
      const foreign = company.path('server', 'foreign.toml');
      company.writeConfig(foreign, 'state-d', (text) => text.replace(/^storage = .*\n/m, ''));
      await must(company.program('keyferry-server'), ['init', '--config', foreign], { uid: UIDS.server });
      for (const name of SHARED) fs.copyFileSync(company.path('server', 'state-d', name), company.path('server', 'state-c', name));
      await refused(file, 'init', 'another Keyferry');
      await company.services.b.start();
    });
    await test('two servers: I8: no change was driven by two, no lease had by two; the checker sees each who would', async () => {
      await company.checkHolders();
      const { settled, takenOver } = await company.witness.summary();
      const seen = await company.witness.seesForgeries(ROLES);
      return `${ROLES.map((who, i) => `${settled[who] ?? 0} settled by ${'AB'[i]}`).join(', ')}, ${takenOver} steps after a lease had ended; ${seen}`;
    });
    await restoreOfDump(company, test);
    await test('two servers: I6: no released password in any file', async () => {
      const { files, hits } = await scanBeside(['server', 'daemon', 'agent', 'logs', 'pg/data'].map((name) => company.path(name)), [...company.released]);
      if (hits.length) throw new Error(`${hits[0].encoding} in ${path.basename(hits[0].file)} and ${hits.length - 1} more`);
      return `${company.released.size} passwords, ${files} files`;
    });
    await test('two servers: I7: the audit trail is whole', () => company.checkAudit());
  }, TwoServers);
}
