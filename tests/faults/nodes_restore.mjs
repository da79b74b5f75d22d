// Two servers on PostgreSQL, put back from an old dump of its own tools.
import path from 'node:path';
import { ldapBind } from '../../scripts/lib/demo/login.mjs';
import { must, run } from '../../scripts/lib/demo/processes.mjs';
import { ROOT, UIDS } from '../../scripts/lib/demo/stack.mjs';
import { poll } from './company.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

export async function restoreOfDump(company, test) {
  const config = company.path('server', 'keyferry-server.toml');
  const tool = async (...args) => {
    const { code, stdout, stderr } = await run(company.program('keyferry-server'), [...args, '--config', config], { uid: UIDS.server });
    return { code, text: `${stdout}${stderr}`.trim() };
  };
  const keyStatus = async () => JSON.parse(await company.keyControl('status'));
  const stop = () => Promise.all([company.services.server.stop(), company.services.b.stop()]);

  await test('two servers: an old dump put back by pg_restore is not served until it is marked, and pushes nothing stale', async () => {
    const dump = company.path('server', 'dump');  // where I6 looks as well
    await company.quiet();
    await must(path.join(ROOT, 'scripts/pg'), ['dump', company.database, dump]);
    await company.change();
    const delivered = await company.quiet();
    const before = await keyStatus();
    await company.keyControl('unplug');
    assert(await poll(async () => (await company.api.must('GET', '/api/v1/keys')).keys.every((key) => !key.seen_at), 15000), 'the key is still seen');
    await company.change();  // the directory has it, the key does not: the restore loses it
    const writes = await company.directoryWrites();
    await stop();
    await company.checkHolders();  // the restore takes the record back as well
    await must(path.join(ROOT, 'scripts/pg'), ['restore', company.database, dump]);
    const refused = await tool('run');
    assert(refused.code === 1 && /restore --in-place/.test(refused.text), `it says: ${refused.text}`);
    // The dump is so fresh that by its own words both servers are still alive.
    let marked;
    await poll(async () => { marked = await tool('restore', '--in-place'); return !/A server is running/.test(marked.text); }, 20000, 500);
    assert(marked.code === 0 && /are lost/.test(marked.text), marked.text);
    company.authenticators.restored();
    await company.services.server.start();
    await company.services.b.start();
    const admin = company.account('administrator');
    await company.apiA.signIn(admin.login, admin.password);
    company.apiB.session = company.apiA.session;
    assert(!(await company.changes()).some((change) => change.id === delivered.id), 'the dump was not old');
    const early = await company.post();
    assert(early.status === 409 && /restored from a backup/.test(early.body.detail), `before the key is seen: ${early.status} ${early.body.detail}`);
    await company.keyControl('plug');
    const checked = await poll(async () => (await company.api.must('GET', '/api/v1/audit')).rows.find((entry) => entry.action === 'restore.checked'), 30000);
    assert(checked, 'the key was not asked how it stands');
    const after = await keyStatus();
    assert(before.last_seq > 0 && after.last_seq === before.last_seq && after.receipt_ctr === before.receipt_ctr, 'something was pushed to the key');
    assert(await company.directoryWrites() === writes, 'the directory was written to');
    company.acknowledged = [];  // those are what the restore lost
    company.writes = writes;
    company.requests = 0;
    await company.change();
    await company.quiet();
    await company.check();
    const { password } = await company.login();
    assert(await ldapBind(company.dc, company.employee.upn, password), 'the directory refuses what the key gives');
    const whole = await tool('audit', 'verify');
    assert(whole.code === 0 && /put back from a backup once/.test(whole.text), whole.text);
    return '0 stale pushes';
  });
}
