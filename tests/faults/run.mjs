// `scripts/test faults`: programs killed at every failpoint, and a bad network before the directory.
//   node tests/faults/run.mjs [--preset NAME] [--only TEXT]
import { AsyncLocalStorage } from 'node:async_hooks';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { scanBeside } from '../../scripts/lib/demo/canary.mjs';
import { must, NotStarted, Service } from '../../scripts/lib/demo/processes.mjs';
import { ROOT } from '../../scripts/lib/demo/stack.mjs';
import { Company } from './company.mjs';
import { atDelivery } from './at_delivery.mjs';
import { killAt, releaseHasNone, rounds } from './kills.mjs';
import { badNetwork } from './network.mjs';
import { networkBeforeOpenLdap, openLdapAlone } from './openldap.mjs';
import { twoServers } from './nodes.mjs';
import { backupAndRestore } from './restore.mjs';
import { rotationAndMail } from './rotation.mjs';
import { networkBeforeSource, severalSources } from './sources.mjs';

const { values: options } = parseArgs({ options: { preset: { type: 'string', default: 'release' }, only: { type: 'string', default: '' }, keep: { type: 'boolean', default: false } } });
if (!fs.existsSync(path.join(ROOT, 'build', options.preset, 'failpoints/bin/keyferry-server'))) {
  console.error(`No programs with failpoints: run 'cmake --build --preset ${options.preset} --target failpoints' first.`);
  process.exit(2);
}
let passed = 0, failed = 0;
const inCompany = new AsyncLocalStorage();  // which of those side by side a test is about

async function test(name, work) {
  if (!name.includes(options.only)) return true;
  const began = Date.now();
  try {
    const figure = await work();
    passed += 1;
    console.log(`✓ ${name} (${figure ? `${figure}, ` : ''}${((Date.now() - began) / 1000).toFixed(1)} s)`);
    return true;
  } catch (error) {
    failed += 1;
    const company = inCompany.getStore();
    console.log(`✗ ${name}: ${error.message}\n${company?.troubles(began) ?? ''}`.trimEnd());
    await company?.whole().catch((cause) => console.log(`    not whole again: ${cause.message}`));
    return false;
  }
}

const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => Promise.all([...running].map((company) => company.stop())).then(() => process.exit(130)));

async function withCompany(work, Kind = Company) {
  const company = new Kind({ preset: `${options.preset}/failpoints` });
  running.add(company);
  try {
    await company.start();
    await inCompany.run(company, () => work(company));
  } catch (error) {
    failed += 1;
    console.log(`✗ the stack: ${error.message}`);
  } finally {
    if (options.keep) company.ownState = false;
    await company.stop();
    if (options.keep) console.log(`state kept in ${company.state}`);
    running.delete(company);
  }
}

const all = rounds();
async function kills() {
  if (all.some(({ name }) => name.includes(options.only)) || options.only.startsWith('at delivery') || options.only.startsWith("the checker")) {
    await withCompany(async (company) => {
      const names = new Set(all.map(({ failpoint }) => failpoint.split(':')[0]));
      await atDelivery(company, test);
      // From here on the employee has two keys, and each is checked.
      await company.becomeTwoKeys();
      for (const round of all) await test(`killed at ${round.name}`, () => killAt(company, round));
      await test('the checker sees a password that another tool has set', async () => {
        await must('samba-tool', ['user', 'setpassword', company.employee.login, '--newpassword=Set-by-another-tool-1', '-H',
          path.join(company.path('dc'), 'private', 'sam.ldb')]);
        const broken = await company.check().then(() => null, (error) => error.message);
        if (!/^I1: .*I5: /s.test(broken ?? '')) throw new Error(`it says: ${broken}`);
        await company.change();
        await company.quiet();
        await company.check();
        return broken.slice(0, 60);
      });
      await test('failpoints', () => {
        if (names.size < 45) throw new Error(`only ${names.size}`);
        return `${names.size} places`;
      });
      await test('restart to ready, p99 of all programs at most 2 s', async () => {
        const sorted = company.restarts.sort((a, b) => a - b);
        const p99 = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))];
        if (p99 > 2000) throw new Error(`${p99} ms of ${sorted.length} restarts`);
        return `${p99} ms of ${sorted.length} restarts`;
      });
      await test('I6: no released password in any file', async () => {
        const roots = ['server', 'daemon', 'agent', 'logs'].map((name) => company.path(name));
        const { files, hits } = await scanBeside(roots, [...company.released]);
        if (hits.length) throw new Error(`${hits[0].encoding} in ${path.basename(hits[0].file)} and ${hits.length - 1} more`);
        return `${company.released.size} passwords, ${files} files`;
      });
      await test('I7: the audit trail is whole', () => company.checkAudit());
    });
  }
}

/** What cannot be started is no program that died at its failpoint. */
async function notStarted() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keyferry-start-'));
  const file = (name, mode) => { fs.copyFileSync('/bin/true', path.join(folder, name)); fs.chmodSync(path.join(folder, name), mode); return path.join(folder, name); };
  const busy = file('busy', 0o755);
  const writer = fs.openSync(busy, 'r+');
  try {
    const none = [['ENOENT', path.join(folder, 'nothing')], ['EACCES', file('plain', 0o644)], ['ETXTBSY', busy]];
    for (const [cause, program] of none) {
      const service = new Service('a program', '/bin/true', [], { log: path.join(folder, 'log'), ready: /^ready/m });
      await service.start().catch(() => {});  // it has had a life before
      service.program = program;
      const rearmed = Company.prototype.rearm.call({ services: { service }, env: {}, restarts: [] }, 'service', 'some.failpoint');
      const error = await rearmed.then(() => null, (thrown) => thrown);
      if (!(error instanceof NotStarted) || !error.message.includes(cause)) throw new Error(`${cause}: it says: ${error?.message}`);
      if (service.running) throw new Error(`${cause}: it is said to run`);
    }
    return none.map(([cause]) => cause).join(', ');
  } finally {
    fs.closeSync(writer);
    fs.rmSync(folder, { recursive: true });
  }
}

async function others() {
  await test('a program that cannot be started is told at once, and has not died at a failpoint', notStarted);
  const release = path.join(ROOT, 'build/release/bin');
  if (fs.existsSync(path.join(release, 'keyferry-server'))) await test('release binaries contain no failpoint', () => releaseHasNone(release));
  if ('two servers on one database'.includes(options.only) || options.only.startsWith('two servers')) await twoServers(withCompany, test);
}

async function network() {
  if ('network before the directory'.includes(options.only) || options.only.startsWith('network')) await badNetwork(withCompany, test);
}

async function restores() {
  if ('restore: audit on the command line: export in three forms, cut, verify'.includes(options.only) || options.only.startsWith('restore')) await backupAndRestore(withCompany, test);
}

async function rotations() {
  if ('rotation'.includes(options.only) || options.only.startsWith('rotation')) await rotationAndMail(withCompany, test);
}

async function openLdap() {
  if ('openldap'.includes(options.only) || options.only.startsWith('openldap')) await openLdapAlone(withCompany, test);
}

async function openLdapNetwork() {
  if ('openldap: network before it'.includes(options.only) || options.only.startsWith('openldap: network')) await networkBeforeOpenLdap(withCompany, test);
}

async function sources() {
  if ('sources'.includes(options.only) || options.only.startsWith('sources')) await severalSources(withCompany, test);
}

async function sourceNetwork() {
  if ('sources: network before slapd'.includes(options.only) || options.only.startsWith('sources: network')) await networkBeforeSource(withCompany, test);
}

// Four organisations side by side, each with a domain controller, server, daemon and key of its own: most of the time is
// waiting for deadlines and leases. The lines are about equally long.
await Promise.all([kills().then(restores).then(rotations), others().then(network), sourceNetwork().then(openLdap), sources().then(openLdapNetwork)]);

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
