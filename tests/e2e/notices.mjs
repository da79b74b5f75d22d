// Notice: who has a password set is told by mail, and says in the browser that it was not them; what that stops, and who lifts it. On real parts.
import path from 'node:path';
import { asStranger, openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { must } from '../../scripts/lib/demo/processes.mjs';
import { until } from '../../scripts/lib/demo/stack.mjs';
import { textOf } from '../support/smtp/mail_server.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

export function noticeTests({ stack, test, signIn, axe, picture, admin }) {
  const sam = () => ['-H', path.join(stack.path('dc'), 'private', 'sam.ldb')];
  const manager = stack.dc.people.find(({ login }) => login === 'zofia.wozniak');
  const person = () => stack.employee;
  const keys = async () => (await stack.api.must('GET', `/api/v1/employees/${person().id}/keys`)).keys;
  const change = async () => (await stack.api.must('GET', `/api/v1/employees/${person().id}/changes`)).changes[0];
  const set = (reason) => stack.api.request('POST', `/api/v1/employees/${person().id}/password`, { json: { generate: true, reason } });
  const mailTo = (login, word) => stack.mail.mails.find((mail) => mail.to[0].startsWith(`${login}@`) && textOf(mail).includes(word));
  const dn = async (login) => /^dn: (.+)$/m.exec(await must('ldbsearch', [...sam(), `(sAMAccountName=${login})`, 'dn']))[1];
  const setManager = async (whom) => must('ldbmodify', sam(), {
    input: `dn: ${await dn(person().login)}\nchangetype: modify\n${whom ? `replace: manager\nmanager: ${await dn(whom)}` : 'delete: manager'}\n` });
  const group = (what, dnOfGroup, login) => must('samba-tool', ['group', what, /^CN=([^,]+)/.exec(dnOfGroup)[1], login, ...sam()]);
  /** Light at a desk, and dark on a phone, where nothing scrolls sideways. */
  const look = async (page, name) => {
    await axe(page, name);
    await picture(page, `notice-${name}`);
    const size = page.viewportSize();
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 390, height: 844 });
    await axe(page, `${name}, dark, 390 px`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert(overflow <= 0, `${name} scrolls sideways by ${overflow} px on a phone`);
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: 'light' });
  };
  const outside = () => new Api(stack.pageUrl, stack.publicCa);
  let link = null;

  return [
    () => test('notice: person and manager are told who set the password, when and why; opening the link changes nothing', async () => {
      await setManager(manager.login);
      const { status, body } = await set('e2e: notice');
      assert(status === 201, `the API said ${status} ${body.detail}`);
      const mail = await until('the person is told', () => mailTo(person().login, 'e2e: notice'));
      const text = textOf(mail);
      for (const part of ['A new password was set.', `By: ${admin.login}`, 'From the address: 127.0.0.1', 'Reason given: e2e: notice']) {
        assert(text.includes(part), `no "${part}" in ${text}`);
      }
      link = new RegExp(`${stack.pageUrl}not-me\\?t=[A-Za-z0-9_-]{54}`).exec(text)?.[0];
      assert(link, `no link in ${text}`);
      const theirs = await until('the manager is told', () => mailTo(manager.login, 'e2e: notice'));
      assert(textOf(theirs).includes(person().login) && !textOf(theirs).includes('not-me'), `the manager got ${textOf(theirs)}`);
      await until('it is on the key', async () => (await change()).state === 'done');

      for (let i = 0; i < 3; i += 1) {  // a scanner, a preview
        const answer = await outside().request('GET', link);
        assert(answer.status === 200, `the link answers ${answer.status}`);
      }
      await asStranger(stack, async (page) => {
        await page.goto(link);
        await page.getByRole('heading', { name: 'This was not me' }).waitFor();
        await page.getByText('e2e: notice').waitFor();
        await look(page, 'link');
        await page.getByRole('button', { name: 'Українська' }).click();
        await page.getByRole('heading', { name: 'Це зроблено не мною' }).waitFor();
        await axe(page, 'the link in Ukrainian');
      });
      assert((await keys()).some(({ state }) => state === 'active'), 'looking has suspended the key');
      const bad = [link.replace(/.$/, (c) => (c === 'A' ? 'B' : 'A')), `${stack.pageUrl}not-me?t=${'A'.repeat(54)}`, `${stack.pageUrl}not-me`];
      const answers = [];
      for (const one of bad) answers.push(await outside().request('GET', one));
      assert(answers.every(({ status: said }) => said === 404), answers.map(({ status: said }) => said).join(' '));
    }),

    () => test('notice: "this was not me" suspends the keys, stops everything for the person, and tells the administrators', async (page) => {
      await asStranger(stack, async (plain) => {
        await plain.goto(link);
        await plain.getByRole('button', { name: 'This was not me' }).click();
        await plain.getByRole('heading', { name: 'It is stopped' }).waitFor();
        await plain.goto(link);
        await plain.getByText('This link is not good, or not any more').waitFor();
        assert(await plain.locator('form[action="/not-me"]').count() === 0, 'a used link has a button');
      }, { javaScriptEnabled: false });
      assert((await keys()).every(({ state }) => state !== 'active'), 'a key is still active');
      const told = await until('the administrators are told', () => mailTo(admin.login, 'that it was not them'));
      assert(textOf(told).includes(person().login) && textOf(told).includes(`${stack.pageUrl}reports`), textOf(told));
      const refused = await set('e2e: once more');
      assert(refused.status === 409 && /not me/.test(refused.body.detail), `a password: ${refused.status} ${refused.body.detail}`);
      const key = (await keys()).find(({ state }) => state === 'suspended');
      const resumed = await stack.api.request('POST', `/api/v1/keys/${key.device}/resume`, { json: { reason: 'e2e: too soon' } });
      assert(resumed.status === 409, `resumed: ${resumed.status}`);
      await signIn(page, admin);
      await page.goto(stack.employeeUrl);
      await page.getByRole('heading', { name: 'This person says: this was not me' }).waitFor();
      await page.getByRole('heading', { name: 'Told to the person' }).waitFor();
      await look(page, 'employee');
      await page.getByRole('link', { name: 'See the objection' }).click();
      await page.getByRole('heading', { name: `${person().login} says: this was not me` }).waitFor();
      await look(page, 'reports');
      // Who did it does not decide about it.
      await page.getByRole('button', { name: 'I have looked into it' }).click();
      await page.getByText('another administrator has to look into it').waitFor();
      const { objections } = await stack.api.must('GET', '/api/v1/objections');
      assert(objections.length === 1 && objections[0].login === person().login, JSON.stringify(objections));
      const own = await stack.api.request('POST', `/api/v1/objections/${objections[0].number}/lift`);
      assert(own.status === 403, `one's own: ${own.status}`);
    }),

    () => test('notice: a second administrator lifts it, each key is resumed, and all goes on', async () => {
      await group('addmembers', stack.dc.administrators_group, manager.login);
      try {
        const second = await openBrowser(stack);
        try {
          const page = await second.newPage();
          await signIn(page, manager);
          await page.goto(`${stack.pageUrl}reports`);
          await page.getByRole('button', { name: 'I have looked into it' }).waitFor();
          // As a program does it for them; the button does the same.
          const theirs = new Api(stack.pageUrl, stack.publicCa, stack.authenticators);
          await theirs.signIn(manager.login, manager.password);
          const { objections: [{ number }] } = await theirs.must('GET', '/api/v1/objections');
          await theirs.must('POST', `/api/v1/objections/${number}/lift`);
          assert((await theirs.must('GET', '/api/v1/objections')).objections.length === 0, 'it still stands');
          const { notices } = await theirs.must('GET', `/api/v1/employees/${person().id}/notices`);
          assert(notices.some((one) => one.number === number), `not among the notices: ${JSON.stringify(notices)}`);
          await page.goto(`${stack.pageUrl}reports`);
          assert(await page.getByRole('heading', { name: 'says: this was not me' }).count() === 0, 'the page still shows it');
        } finally {
          await second.close();
        }
      } finally {
        await group('removemembers', stack.dc.administrators_group, manager.login);
        await setManager(null);
      }
      for (const key of await keys()) {
        if (key.state === 'suspended') await stack.api.must('POST', `/api/v1/keys/${key.device}/resume`, { json: { reason: 'e2e: cleared up' } });
      }
      await until('the person is told of that too', () => mailTo(person().login, 'A suspended security key may be used again.'));
      const { status, body } = await set('e2e: after the objection');
      assert(status === 201, `the API said ${status} ${body.detail}`);
      await until('it is on the key', async () => (await change()).state === 'done');
      const actions = (await stack.api.must('GET', '/api/v1/audit')).rows.map(({ action }) => action);
      for (const action of ['notice.mail', 'notice.object', 'key.suspend', 'objection.lift', 'key.resume']) assert(actions.includes(action), `no ${action} in the audit log`);
    }),
  ];
}
