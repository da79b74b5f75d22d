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

// A life ends at the program's death, or with an error that says what did not come: none of these is waited for in vain in a round that passes.
const COMES = 60000;

/** Waits until the program is dead, or `look` finds a change that is not of before this round. */
async function deadOr(company, dead, look, what) {
  const came = await poll(async () => dead() || (await company.changes().catch(() => [])).some((c) => !company.before.has(c.id) && look(c)), COMES);
  if (!came) throw new Error(`never reached, and not ${what} either: ${JSON.stringify((await company.changes())[0])}`);
}

/** The life is over: what is still on its way brings the program to its failpoint, sooner or later. */
async function untilDead(dead) {
  if (!await poll(dead, COMES)) throw new Error('never reached');
}

/**
 * Posts until a change is begun or the program is dead: while an earlier one's outcome is open there is no new one. What has no
 * answer, or one that leaves the outcome open, goes to `open`.
 */
async function begin(company, dead, open, request = {}) {
  const begun = await poll(async () => {
    if (dead()) return true;
    const answer = await company.post(request);
    if (answer.status === 0 || answer.status === 504) open.push(answer);
    if (answer.status === 0) await poll(dead, 1000);  // its end is told a moment later than its connections break
    return answer.status === 201;
  }, COMES, 300);
  if (!begun) throw new Error('never reached, and no change was possible');
}

/** Only the first key is there, and server and daemon know. */
async function firstKeyAlone(company, dead) {
  await company.secondControl('unplug');
  const seen = async () => (await company.api.must('GET', '/api/v1/keys')).keys.filter((key) => key.seen_at).map(({ device }) => device);
  const alone = ([first, ...more]) => first && first !== company.secondDevice && !more.length;
  if (!await poll(async () => dead() || alone(await seen()), COMES)) throw new Error(`the server sees ${await seen()} and not the first key alone`);
}

/** One life of a password that a key is prepared with first: with both plugged in the second one, `alone` the first. */
async function lifeAtDelivery(company, dead, alone) {
  const open = [];
  try {
    if (alone) await firstKeyAlone(company, dead);
    await begin(company, dead, open, { mode: 'at_delivery' });
    if (alone) await deadOr(company, dead, (c) => jobs(c).includes('delivered'), 'delivered to the first key');
  } finally {
    if (alone) await company.secondControl('plug');
  }
  await deadOr(company, dead, (c) => c.state === 'failed' || reached(c), 'at its end');
  await untilDead(dead);  // what comes after: the DROP of a refused one
  return open;
}

/**
 * One life of a password: a change that the directory refuses, one while the key is busy (so that its job is spooled and waits), one
 * that supersedes it, delivery, login. Ends as soon as `dead()`; returns the requests whose outcome is not known.
 */
async function life(company, dead) {
  const open = [];
  const refused = await company.post({ typed: REFUSED });
  if (refused.status === 0 || refused.status === 504) open.push(refused);
  if (refused.status === 0) await poll(dead, 1000);
  if (dead()) return open;
  const key = company.services.key;
  key.child?.kill('SIGSTOP');
  try {
    await begin(company, dead, open);
    // The second key, which is not busy, may have its own already.
    const waits = (c) => jobs(c).includes('spooled') && jobs(c).every((state) => ['spooled', 'delivered'].includes(state));
    await deadOr(company, dead, waits, 'spooled for the key that is busy');
    await begin(company, dead, open);
  } finally {
    key.child?.kill('SIGCONT');
  }
  await deadOr(company, dead, reached, 'delivered');
  if (dead()) return open;
  const { ok, output } = await company.login();
  if (!ok && !await poll(dead, 5000)) throw new Error(`never reached, and no login: ${output.trim().split('\n').pop()}`);
  await deadOr(company, dead, (c) => jobs(c).includes('used'), 'used');
  await untilDead(dead);  // what comes after the last answer
  return open;
}

const goesOn = (company) => poll(async () => !['intent', 'held'].includes((await company.changes())[0].state), COMES);

export async function killAt(company, { failpoint, mode, refused }) {
  const program = { server: 'server', daemon: 'daemon', key: 'key' }[failpoint.split('.')[0]];
  company.before = new Set((await company.changes()).map((c) => c.id));
  await company.rearm(program, failpoint);
  const dead = () => company.died(program);
  let open;
  try {
    if (refused) await company.strictPolicy(true);
    open = await (mode === 'now' ? life : lifeAtDelivery)(company, dead, program === 'key');
    await company.rearm(program);
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
