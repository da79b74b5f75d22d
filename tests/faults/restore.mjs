// Backup and restore on real parts: an old copy of the database takes its place, and nothing stale reaches the key.
import fs from 'node:fs';
import path from 'node:path';
import { ldapBind } from '../../scripts/lib/demo/login.mjs';
import { run } from '../../scripts/lib/demo/processes.mjs';
import { UIDS } from '../../scripts/lib/demo/stack.mjs';
import { poll } from './company.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

export async function backupAndRestore(withCompany, test) {
  await withCompany(async (company) => {
    const config = company.path('server', 'keyferry-server.toml');
    const database = company.path('server', 'state', 'keyferry.db');
    const tool = async (...args) => {
      const { code, stdout, stderr } = await run(company.program('keyferry-server'), [...args, '--config', config], { uid: UIDS.server });
      return { code, text: `${stdout}${stderr}`.trim() };
    };
    const keyStatus = async () => JSON.parse(await company.keyControl('status'));
    const audit = async () => (await company.api.must('GET', '/api/v1/audit')).rows;
    const signIn = () => { const admin = company.account('administrator'); return company.api.signIn(admin.login, admin.password); };
    const file = company.path('server', 'backup.db');
    const writesSince = () => company.directoryWrites();

    await test('restore: a backup is made and verified while changes run', async () => {
      let running = true;
      const load = (async () => { while (running) await company.change(); })();
      const [backup] = await Promise.all([tool('backup', file).finally(() => { running = false; }), load]);
      assert(backup.code === 0, backup.text);
      assert(/verified/.test(backup.text) && /issuer\.key/.test(backup.text), `it says: ${backup.text}`);
      assert((fs.statSync(file).mode & 0o777) === 0o600, 'others may read the backup');
      const again = await tool('backup', file);
      assert(again.code === 1 && /there already/.test(again.text), `a second one says: ${again.text}`);
      const verify = await tool('audit', 'verify');
      assert(verify.code === 0, `audit verify beside the server: ${verify.text}`);
      return `${fs.statSync(file).size >> 10} KiB`;
    });

    await test('restore: refused while the server runs, and of what is no backup', async () => {
      const refused = await tool('restore', file);
      assert(refused.code === 1 && /stop that one first/.test(refused.text), refused.text);
      await company.services.server.stop();
      fs.copyFileSync(database, company.path('server', 'other.db'));
      fs.chownSync(company.path('server', 'other.db'), UIDS.server, UIDS.server);
      const none = await tool('restore', company.path('server', 'other.db'));
      assert(none.code === 1 && /not a backup/.test(none.text), none.text);
      await company.services.server.start();
      await signIn();
    });

    await test('restore: the old copy pushes nothing stale, and the next change works', async () => {
      await company.quiet();
      await company.change();
      const delivered = await company.quiet();
      const before = await keyStatus();
      await company.keyControl('unplug');
      assert(await poll(async () => (await company.api.must('GET', '/api/v1/keys')).keys.every((key) => !key.seen_at), 10000), 'the key is still seen');
      await company.change();  // the directory has it, the key does not: the restore loses it
      const writes = await writesSince();
      await company.services.server.stop();
      const restored = await tool('restore', file);
      assert(restored.code === 0 && /are lost/.test(restored.text), restored.text);
      company.authenticators.restored();
      const began = Date.now();
      await company.services.server.start();
      const ready = Date.now() - began;
      await signIn();
      assert(!(await company.changes()).some((change) => change.id === delivered.id), 'the backup was not old');
      const early = await company.post();
      assert(early.status === 409 && /restored from a backup/.test(early.body.detail), `before the key is seen: ${early.status} ${early.body.detail}`);
      await company.keyControl('plug');
      const checked = await poll(async () => (await audit()).find((entry) => entry.action === 'restore.checked'), 20000);
      assert(checked, 'the key was not asked how it stands');
      assert(checked.outcome === 'unknown', `it was found to be ${checked.outcome}: ${checked.detail}`);
      const after = await keyStatus();
      assert(before.last_seq > 0 && after.last_seq === before.last_seq && after.receipt_ctr === before.receipt_ctr, 'something was pushed to the key');
      assert(await writesSince() === writes, 'the directory was written to');
      company.acknowledged = [];  // those are what the restore lost
      company.writes = await writesSince();
      company.requests = 0;
      await company.change();
      await company.quiet();
      await company.check();
      const now = await company.login();
      assert(await ldapBind(company.dc, company.employee.upn, now.password), 'the directory refuses what the key gives');
      return `0 stale pushes, ready after ${ready} ms`;
    });

    await test('restore: the audit trail says what happened', async () => {
      const verify = await tool('audit', 'verify');
      assert(verify.code === 0 && /put back from a backup once/.test(verify.text), verify.text);
      const entry = (await audit()).find((e) => e.action === 'server.restore');
      assert(entry && /were lost with it/.test(entry.detail) && /keyferry-audit-checkpoint v1 restore/.test(entry.detail), `the entry says: ${entry?.detail}`);
      const kept = fs.readdirSync(path.dirname(database)).filter((name) => /^keyferry\.db\.replaced-\d{8}T\d{6}Z$/.test(name));
      assert(kept.length === 1, 'the database that was there was not kept');
      return verify.text;
    });

    await test('restore: an old copy put there by hand is not served until it is marked', async () => {
      await company.services.server.stop();
      for (const more of ['', '-wal', '-shm']) fs.rmSync(`${database}${more}`, { force: true });
      fs.copyFileSync(file, database);
      fs.chownSync(database, UIDS.server, UIDS.server);
      fs.chmodSync(database, 0o600);
      const refused = await tool('run');
      assert(refused.code === 1 && /restore --in-place/.test(refused.text), `it says: ${refused.text}`);
      const verify = await tool('audit', 'verify');
      assert(verify.code === 1 && /cut off its end/.test(verify.text), `audit verify says: ${verify.text}`);
      const marked = await tool('restore', '--in-place');
      assert(marked.code === 0, marked.text);
      company.authenticators.restored();
      await company.services.server.start();
      await signIn();
      company.acknowledged = [];
      const again = await poll(async () => { const answer = await company.post(); return answer.status === 201 && answer; }, 20000, 300);
      assert(again, 'no new change was possible');
      await company.quiet();
      company.acknowledged = [];
      company.writes = await writesSince();
      company.requests = 0;
      await company.check();
      const whole = await tool('audit', 'verify');
      assert(whole.code === 0 && /2 times/.test(whole.text), whole.text);
    });

    await test('restore: audit on the command line: export in three forms, cut, verify', async () => {
      for (const [format, first] of [['jsonl', /^\{"number":1,/], ['csv', /^"number",/], ['cef', /^CEF:0\|/]]) {
        const output = company.path('server', `audit.${format}`);
        const exported = await tool('audit', 'export', '--format', format, '--output', output);
        assert(exported.code === 0 && /\d+ entries/.test(exported.text), exported.text);
        assert(first.test(fs.readFileSync(output, 'utf8')), `${format} begins with ${fs.readFileSync(output, 'utf8').slice(0, 60)}`);
      }
      const busy = await tool('audit', 'cut', '--older-than-days', '1');
      assert(busy.code === 1 && /stop that one first/.test(busy.text), busy.text);
      await company.services.server.stop();
      const none = await tool('audit', 'cut', '--older-than-days', '1');
      assert(none.code === 0 && /Nothing was removed/.test(none.text), none.text);
      const verify = await tool('audit', 'verify');
      assert(verify.code === 0, verify.text);
      // Another audit key than the chain's: not served.
      const key = company.path('server', 'state', 'audit.key'), pub = company.path('server', 'state', 'audit.pub');
      const book = company.path('server', 'state', 'audit-checkpoints.log');
      for (const name of [key, pub, book]) fs.renameSync(name, `${name}.kept`);
      const refused = await tool('run');
      assert(refused.code === 1 && /another audit key/.test(refused.text), `it says: ${refused.text}`);
      for (const name of [key, pub, book]) fs.renameSync(`${name}.kept`, name);
      await company.services.server.start();
    });
  });
}
