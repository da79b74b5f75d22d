// Rotation by policy and mails on real parts: a domain controller, a key, and a mail server.
import path from 'node:path';
import { ldapBind } from '../../scripts/lib/demo/login.mjs';
import { must, run } from '../../scripts/lib/demo/processes.mjs';
import { UIDS } from '../../scripts/lib/demo/stack.mjs';
import { withMail } from '../support/smtp/mail_server.mjs';
import { Company, poll } from './company.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

class MailingCompany extends withMail(Company) {
  async employeeDn() {
    const text = await must('ldbsearch', ['-H', path.join(this.path('dc'), 'private', 'sam.ldb'), `(sAMAccountName=${this.employee.login})`, 'dn']);
    return /^dn: (.*)$/m.exec(text)[1];
  }
}

export async function rotationAndMail(withCompany, test) {
  await withCompany(async (company) => {
    const sam = ['-H', path.join(company.path('dc'), 'private', 'sam.ldb')];
    const doctor = async () => {
      const { stdout } = await run(company.program('keyferry-server'), ['doctor', '--json', '--config', company.path('server', 'keyferry-server.toml')],
        { uid: UIDS.server, env: company.env });
      return JSON.parse(stdout).findings;
    };
    const audit = async () => (await company.api.must('GET', '/api/v1/audit')).rows;
    const newest = async () => (await company.changes())[0];
    // The clock's first turn is at the start.
    const turn = async () => { await company.services.server.stop(); await company.services.server.start(); };
    const policy = { name: 'Staff', group_dn: `CN=rota,CN=Users,${company.dc.base_dn}`, max_age_days: 1, window_from: '00:00', window_until: '24:00', notify_days: [3], enabled: true };
    await must('samba-tool', ['group', 'add', 'rota', ...sam]);
    await must('samba-tool', ['group', 'add', 'rota-inner', ...sam]);
    await must('samba-tool', ['group', 'addmembers', 'rota', 'rota-inner', ...sam]);
    await must('samba-tool', ['group', 'addmembers', 'rota-inner', company.employee.login, ...sam]);
    await must('ldbmodify', sam, { input: `dn: ${await company.employeeDn()}\nchangetype: modify\nreplace: mail\nmail: employee@corp.example\n` });

    // Beside these there are the notices of what was done.
    const announced = () => company.mail.mails.filter(({ content }) => /^Subject: Your password is renewed/m.test(content));

    await test('rotation: the preview names who is due, and nothing happens', async () => {
      const none = await company.api.request('POST', '/api/v1/policies/preview', { json: { ...policy, group_dn: `CN=nobody,${company.dc.base_dn}` } });
      assert(none.status === 404, `a group that is not there: ${none.status} ${none.body.detail}`);
      const { members, complete } = await company.api.must('POST', '/api/v1/policies/preview', { json: policy });
      assert(complete && members.length === 1 && members[0].login === company.employee.login, `it names ${JSON.stringify(members)}`);
      assert(members[0].verdict === 'not_yet' && members[0].due > Date.now(), `it says ${members[0].verdict}`);
      assert((await company.api.must('GET', '/api/v1/policies')).policies.length === 0, 'the preview was stored');
    });

    await test('rotation: who is due soon gets a mail, once', async () => {
      await company.api.must('POST', '/api/v1/policies', { json: policy });
      await turn();
      const mail = await poll(() => announced()[0], 20000);
      assert(mail, 'no mail came');
      assert(mail.to[0] === 'employee@corp.example' && /^Subject: Your password is renewed in 1 days/m.test(mail.content), mail.content);
      await turn();
      await poll(async () => (await audit()).some((row) => row.action === 'mail.sent'), 20000);
      assert(announced().length === 1, 'it came twice');
    });

    await test('rotation: a due password is renewed at delivery, by the policy', async () => {
      const { password: old } = await company.login();
      const writes = await company.directoryWrites();
      await must('ldbmodify', sam, { input: `dn: ${await company.employeeDn()}\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: 0\n` });
      await company.keyControl('unplug');
      await turn();
      const waiting = await poll(async () => { const c = await newest(); return c.actor === 'policy Staff' && c; }, 20000);
      assert(waiting, 'nothing was begun');
      assert(waiting.mode === 'at_delivery' && waiting.state === 'intent', `it is ${waiting.state}`);
      assert(await company.directoryWrites() === writes, 'the directory was written to before the key was there');
      await company.keyControl('plug');
      const done = await poll(async () => { const c = await newest(); return c.state === 'done' && c; }, 20000);
      assert(done, `it stays ${(await newest()).state}: ${(await newest()).error}`);
      const { ok, password } = await company.login();
      assert(ok && password !== old && await ldapBind(company.dc, company.employee.upn, password), 'directory and key do not agree');
      assert((await audit()).some((row) => row.action === 'password.set' && row.actor === 'policy Staff'), 'the audit log does not name the policy');
      // The run goes on while what it has begun is delivered.
      assert(await poll(async () => (await audit()).some((row) => row.action === 'policy.run' && /^1 begun/.test(row.detail)), 20000), 'the run is not in the audit log');
      company.requests += 1;
      await company.check();
    });

    await test('rotation: doctor and the page tell of the mail server', async () => {
      const good = (await doctor()).filter(({ what }) => /^mail/.test(what));
      assert(good.length === 2 && good.every(({ status }) => status === 'ok'), JSON.stringify(good));
      await company.mail.stop();
      const bad = (await doctor()).find(({ what }) => /^mail server/.test(what));
      assert(bad.status === 'problem' && /does not answer/.test(bad.cause), JSON.stringify(bad));
      const { body } = await company.api.request('GET', '/policies');
      assert(/Staff/.test(String(body)) && /1 begun/.test(String(body)), 'the page does not show the policy');
      await company.mail.start();
    });
  }, MailingCompany);
}
