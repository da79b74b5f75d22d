// Kills server, daemon or key at every failpoint, restarts it, lets things settle, checks the invariants.
import { run } from '../../scripts/lib/demo/processes.mjs';
import { failpoints, poll } from './company.mjs';
import { ROOT } from '../../scripts/lib/demo/stack.mjs';

// Places that are passed many times in one delivery: at which of them to die.
const TIMES = {
  'key.flash.word': [1, 2, 40, 80, 120, 160],
  'key.flash.erase': [1, 2],
  'key.report.in': [1, 2, 3, 5, 8, 11, 14],
  'key.report.out': [1, 2, 3, 5, 8, 11],
  'daemon.file.written': [1, 2, 3],
  'daemon.file.renamed': [1, 2, 3],
};
// Long enough for our own look at the policy; the directory finds too few kinds of characters in it.
const REFUSED = 'only lower case letters here';

export function rounds() {
  return failpoints(ROOT).flatMap((name) => (TIMES[name] ?? [1]).map((n) => (n === 1 ? name : `${name}:${n}`)));
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
    if (!dead()) await poll(async () => dead() || (await company.changes().catch(() => []))[0]?.job_state === 'spooled', 2500);
    if (!dead()) note(await company.post());
  } finally {
    key.child?.kill('SIGCONT');
  }
  await poll(async () => dead() || (await company.changes().catch(() => [])).some((c) => c.state === 'done' && c.job_state === 'delivered'
    && !company.before.has(c.id)), 6000);
  if (dead()) return open;
  await company.login();
  await poll(async () => dead() || (await company.changes().catch(() => [])).some((c) => c.job_state === 'used' && !company.before.has(c.id)), 3000);
  if (!dead()) await poll(async () => dead(), 300);  // what comes after the last answer
  return open;
}

export async function killAt(company, failpoint) {
  const program = { server: 'server', daemon: 'daemon', key: 'key' }[failpoint.split('.')[0]];
  company.before = new Set((await company.changes()).map((c) => c.id));
  await company.rearm(program, failpoint);
  const dead = () => company.died(program);
  const open = await life(company, dead);
  const reached = dead();
  await company.rearm(program);
  if (!reached) throw new Error('never reached');
  // Whoever got no answer asks again with the same key, and must not get a second change for it.
  for (const { key, typed } of open) {
    const again = await company.post({ key, typed });
    company.requests -= 1;
    if (again.status === 0) throw new Error(`no answer after the restart: ${again.body.detail}`);
  }
  const [newest] = await company.changes();
  if (['attempt', 'unknown', 'intent', 'held'].includes(newest.state) || newest.state === 'failed') await company.change();
  await company.quiet();
  await company.check();
}

/** Release binaries know no failpoint. */
export async function releaseHasNone(bin) {
  for (const program of ['keyferry-server', 'keyferryd', 'keyferry-sim', 'keyferry-agent']) {
    const { stdout } = await run('strings', ['-n', '8', `${bin}/${program}`], { timeout: 60000 });
    const hit = stdout.split('\n').find((line) => /KEYFERRY_FAILPOINT|server\.change\.begun|daemon\.job\.at_key|key\.flash\.word/.test(line));
    if (hit) throw new Error(`${program} contains "${hit}"`);
  }
}
