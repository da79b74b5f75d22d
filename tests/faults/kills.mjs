// Kills server, daemon or key at every failpoint, restarts it, lets things settle, checks the invariants.
import { run } from '../../scripts/lib/demo/processes.mjs';
import { failpoints, jobs, poll, reached } from './company.mjs';
import { ROOT } from '../../scripts/lib/demo/stack.mjs';

// Places that are passed many times in one delivery: at which of them to die.
const TIMES = {
  'key.flash.word': [1, 2, 40, 80, 120, 160],
  'key.flash.erase': [1, 2],
  'server.begin.numbered': [1, 2],
  'key.report.in': [1, 2, 3, 5, 8, 11, 14],
  'key.report.out': [1, 2, 3, 5, 8, 11],
  'daemon.file.written': [1, 2, 3],
  'daemon.file.renamed': [1, 2, 3],
};
// Long enough for our own look at the policy; the directory finds too few kinds of characters in it.
const REFUSED = 'only lower case letters here';

// Only a change at delivery comes there.
const AT_DELIVERY = /^server\.(wait|hold|held|commit|drop)\./;
// … and of these, only one that the directory refuses.
const REFUSED_AT_DELIVERY = /^server\.(drop\.|close\.|change\.refused)/;
// What both modes pass, the second time on another road: HOLD and COMMIT, or DROP, take the place of the one job.
const ALSO_AT_DELIVERY = {
  'server.receipt.committed': [1, 2], 'server.receipt.before_commit': [1, 2], 'server.receipt.met': [1, 2],
  'server.handout.before_commit': [1, 2], 'server.change.set': [1], 'server.change.confirmed': [1], 'server.change.handed_out': [1],
  'server.confirm.marked': [1], 'server.confirm.before_commit': [1], 'server.spooled.before_commit': [1, 2],
  'server.close.before_commit': [1], 'server.change.refused': [1],
  'daemon.job.received': [1, 2], 'daemon.job.spooled': [1, 2], 'daemon.job.before_key': [1, 2], 'daemon.job.at_key': [1, 2],
  'daemon.receipt.taken': [1, 2], 'daemon.job.finished': [1, 2], 'daemon.receipt.posted': [1, 2], 'daemon.receipt.removed': [1],
  'key.flash.word': [40, 120, 200], 'key.report.in': [5, 14, 20], 'key.report.out': [5, 14],
};

/** What to die at, and in which life: `{name, failpoint, mode, refused}`. */
export function rounds() {
  const at = (failpoint, n) => (n === 1 ? failpoint : `${failpoint}:${n}`);
  // A second server's events are passed with a second server only: nodes.mjs. Linked sources: sources.mjs.
  const all = failpoints(ROOT).filter((name) => !/^server\.(events|source)\./.test(name));
  const now = all.filter((name) => !AT_DELIVERY.test(name)).flatMap((name) => (TIMES[name] ?? [1]).map((n) => at(name, n)));
  const later = [...all.filter((name) => AT_DELIVERY.test(name)), ...Object.entries(ALSO_AT_DELIVERY).flatMap(([name, times]) => times.map((n) => at(name, n)))];
  return [...now.map((failpoint) => ({ name: failpoint, failpoint, mode: 'now' })),
    ...later.map((failpoint) => ({ name: `${failpoint}, at delivery`, failpoint, mode: 'at_delivery', refused: REFUSED_AT_DELIVERY.test(failpoint) }))];
}

/** One life of a password that a key is prepared with first: with both plugged in the second one, `alone` the first. */
async function lifeAtDelivery(company, dead, alone) {
  const open = [];
  if (alone) await company.secondControl('unplug');
  const answer = await company.post({ mode: 'at_delivery' });
  if (answer.status === 0 || answer.status === 504) open.push(answer);
  if (alone) {
    await poll(async () => dead() || (await company.changes().catch(() => [])).some((c) => !company.before.has(c.id) && jobs(c).includes('delivered')), 8000);
    await company.secondControl('plug');
  }
  await poll(async () => dead() || (await company.changes().catch(() => [])).some((c) => !company.before.has(c.id)
    && (c.state === 'failed' || reached(c))), 8000);
  if (!dead()) await poll(async () => dead(), 1000);  // what comes after: the DROP of a refused one
  return open;
}

/**
 * One life of a password: a change that the directory refuses, one while the key is busy (so that its job is spooled and waits), one
 * that supersedes it, delivery, login. Ends as soon as `dead()`; returns the requests whose outcome is not known.
 */
async function life(company, dead) {
  const open = [];
  const note = (answer) => { if (answer.status === 0 || answer.status === 504) open.push(answer); };
  note(await company.post({ typed: REFUSED }));
  if (dead()) return open;
  const key = company.services.key;
  key.child?.kill('SIGSTOP');
  try {
    note(await company.post());
    if (!dead()) await poll(async () => dead() || (await company.changes().catch(() => [])).slice(0, 1).some((c) => jobs(c).includes('spooled')), 2500);
    if (!dead()) note(await company.post());
  } finally {
    key.child?.kill('SIGCONT');
  }
  await poll(async () => dead() || (await company.changes().catch(() => [])).some((c) => reached(c) && !company.before.has(c.id)), 6000);
  if (dead()) return open;
  await company.login();
  await poll(async () => dead() || (await company.changes().catch(() => [])).some((c) => jobs(c).includes('used') && !company.before.has(c.id)), 3000);
  if (!dead()) await poll(async () => dead(), 300);  // what comes after the last answer
  return open;
}

const goesOn = (company) => poll(async () => !['intent', 'held'].includes((await company.changes())[0].state), 15000);

export async function killAt(company, { failpoint, mode, refused }) {
  const program = { server: 'server', daemon: 'daemon', key: 'key' }[failpoint.split('.')[0]];
  company.before = new Set((await company.changes()).map((c) => c.id));
  await company.rearm(program, failpoint);
  const dead = () => company.died(program);
  let open, reached;
  if (refused) await company.strictPolicy(true);
  try {
    open = await (mode === 'now' ? life : lifeAtDelivery)(company, dead, program === 'key');
    reached = dead();
    await company.rearm(program);
    if (!reached) throw new Error('never reached');
    // One at delivery goes on by itself, whoever died. (While the directory still refuses it.)
    if (mode !== 'now' && !open.length) await goesOn(company);
  } finally {
    if (refused) await company.strictPolicy(false);
  }
  // Whoever got no answer asks again with the same key, and must not get a second change for it.
  for (const request of open) {
    const again = await company.post(request);
    company.requests -= 1;
    if (again.status === 0) throw new Error(`no answer after the restart: ${again.body.detail}`);
  }
  if (mode !== 'now') await goesOn(company);
  const [newest] = await company.changes();
  if (mode !== 'now' && ['intent', 'held'].includes(newest.state)) throw new Error(`the change stays ${newest.state}`);
  if (['attempt', 'unknown', 'intent', 'held'].includes(newest.state) || newest.state === 'failed') await company.change();
  await company.quiet();
  await company.check();
}

/** Release binaries know no failpoint. */
export async function releaseHasNone(bin) {
  for (const program of ['keyferry-server', 'keyferryd', 'keyferry-sim', 'keyferry-agent']) {
    const { stdout } = await run('strings', ['-n', '8', `${bin}/${program}`], { timeout: 60000 });
    const hit = stdout.split('\n').find((line) => /KEYFERRY_FAILPOINT|server\.change\.begun|server\.source\.attempted|daemon\.job\.at_key|key\.flash\.word/.test(line));
    if (hit) throw new Error(`${program} contains "${hit}"`);
  }
}
