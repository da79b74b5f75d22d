// All pages: what every one of them keeps to, the sign-in, the check-up, and what they say when there is no directory. And what the programs say beside them.
import fs from 'node:fs';
import path from 'node:path';
import { asStranger } from '../../scripts/lib/demo/browser.mjs';
import { ldapBind } from '../../scripts/lib/demo/login.mjs';
import { must, run } from '../../scripts/lib/demo/processes.mjs';
import { ROOT, UIDS, until } from '../../scripts/lib/demo/stack.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

export function pageTests({ stack, test, signIn, axe, picture, admin, send }) {
  const employeePage = (account) => `${stack.pageUrl}employees/${account.id}`;

  return [
    () => test('sign-in: a wrong password and an unknown user get the same page', () => asStranger(stack, async (page) => {
      const texts = [];
      for (const [name, password] of [[admin.login, 'Wrong-Password-1!'], ['nobody.here', 'Wrong-Password-1!'], [admin.login, '']]) {
        await page.goto(stack.pageUrl);
        await page.getByLabel('User name').fill(name);
        await page.getByLabel('Password').evaluate((input) => input.removeAttribute('required'));
        await page.getByLabel('Password').fill(password);
        await page.getByRole('button', { name: 'Sign in' }).click();
        await page.getByRole('alert').waitFor();
        texts.push((await page.locator('body').innerText()).trim());
      }
      assert(texts[0] === texts[1] && texts[1] === texts[2], `the pages differ: ${JSON.stringify(texts)}`);
      await axe(page, 'sign-in with an error');
      await picture(page, 'sign-in-refused');
    })),

    () => test('the check-up page tells what the server stands on', async (page) => {
      await signIn(page, admin);
      assert(!await page.getByRole('link', { name: 'Check-up' }).isVisible(), 'the menu is open from the beginning');
      const menu = page.getByText('Set-up', { exact: true });
      await menu.press('Enter');
      await page.getByRole('link', { name: 'Check-up' }).press('Escape');
      assert(!await page.getByRole('link', { name: 'Check-up' }).isVisible(), 'Escape leaves the menu open');
      await menu.and(page.locator(':focus')).waitFor();
      await page.keyboard.press('Enter');
      await page.getByRole('link', { name: 'Check-up' }).press('Enter');
      await page.getByRole('button', { name: 'Check now' }).click();
      await page.getByRole('row', { name: /^(?!.*password source).*service account signs in/ }).waitFor();
      await page.getByRole('row', { name: /password source "Lab", .*service account signs in/ }).waitFor();
      assert(await page.getByText(/^(Problems: \d+, warnings: \d+|Everything is in order)\./).count() === 1, 'no summary');
      // The same as the command says, but for what is counted meanwhile.
      const { stdout } = await run(stack.program('keyferry-server'), ['doctor', '--json', '--config', stack.path('server', 'keyferry-server.toml')], { uid: UIDS.server, env: stack.env, timeout: 60000 });
      const plain = (text) => text.replace(/\d+( second)s?\b/g, '#$1').replace(/\d+/g, '#').replace(/\s+/g, ' ');
      const rows = (await page.locator('tbody tr').allInnerTexts()).map(plain);
      const { findings } = JSON.parse(stdout);
      assert(findings.length > 10 && rows.length === findings.length, `${rows.length} rows on the page, ${findings.length} findings of the command`);
      for (const { what, cause, fix } of findings) assert(rows.some((row) => [what, cause, fix].every((text) => row.includes(plain(text)))), `not on the page: ${what}`);
    }),

    () => test('every page is clean under axe, light and dark, phone and desk', async (page) => {
      await signIn(page, admin);
      const other = stack.account('employee_without_key');
      const policy = await stack.api.must('POST', '/api/v1/policies', { json: { name: 'Seen by axe', group_dn: stack.dc.help_desk_group, max_age_days: 3650,
        window_from: '02:00', window_until: '03:00', notify_days: [7], enabled: false } });
      const pages = { employees: `${stack.pageUrl}employees`, employee: stack.employeeUrl, 'employee-without-key': employeePage(other),
        password: `${stack.employeeUrl}/password`, 'add-key': `${employeePage(other)}/key`, keys: `${stack.pageUrl}keys`, key: `${stack.pageUrl}keys/${(await stack.api.must('GET', '/api/v1/keys')).keys[0].device}`,
        workstations: `${stack.pageUrl}workstations`, audit: `${stack.pageUrl}audit`, reports: `${stack.pageUrl}reports`, 'report-changes': `${stack.pageUrl}reports/changes?list=pending`, 'keys-filtered': `${stack.pageUrl}keys?state=revoked`, tokens: `${stack.pageUrl}tokens`, alarm: `${stack.pageUrl}alarm`, policies: `${stack.pageUrl}policies`, 'policy-new': `${stack.pageUrl}policies/new`,
        policy: `${stack.pageUrl}policies/${policy.id}`, matches: `${stack.pageUrl}workstations/matches`, enrolment: `${stack.pageUrl}enrolments/${stack.enrolment}`, 'check-up': `${stack.pageUrl}check-up`, 'not-found': `${stack.pageUrl}nothing/here` };
      for (const [name, url] of Object.entries(pages)) {
        await page.goto(url);
        for (const [scheme, width] of [['light', 1280], ['dark', 390]]) {
          await page.emulateMedia({ colorScheme: scheme });
          await page.setViewportSize({ width, height: 900 });
          await axe(page, `${name}, ${scheme}, ${width} px`);
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          assert(overflow <= 0, `${name} at ${width} px scrolls sideways by ${overflow} px`);
          await picture(page, `${name}-${scheme}`);
        }
      }
      await stack.api.must('DELETE', `/api/v1/policies/${policy.id}`);
    }),

    () => test('security headers stand on every answer, errors too', async (page) => {
      await signIn(page, admin);
      for (const url of [`${stack.pageUrl}employees`, `${stack.pageUrl}nothing/here`, `${stack.pageUrl}api/v1/employees`, `${stack.pageUrl}%2e%2e/x`]) {
        const { headers } = await send('GET', url);
        for (const name of ['content-security-policy', 'strict-transport-security', 'x-content-type-options', 'referrer-policy',
          'cross-origin-opener-policy', 'cross-origin-resource-policy', 'cache-control']) {
          assert(headers[name], `${url} has no ${name}`);
        }
        assert(!/unsafe-inline|unsafe-eval|\*/.test(headers['content-security-policy']), `${url}: ${headers['content-security-policy']}`);
        assert(/no-store/.test(headers['cache-control']), `${url}: cache-control ${headers['cache-control']}`);
      }
      const [cookie] = (await page.context().cookies()).filter((c) => c.name === '__Host-keyferry');
      assert(cookie?.secure && cookie.httpOnly && cookie.sameSite === 'Strict', 'the session cookie is not strict');
    }),

    () => test('an employee without a key: explained, nothing changed', async (page) => {
      const other = stack.account('employee_without_key');
      await signIn(page, admin);
      await page.goto(`${employeePage(other)}/password`);
      assert(await page.getByRole('button', { name: 'Save' }).count() === 0, 'there is a Save button');
      assert(/key/i.test(await page.getByRole('alert').innerText()), 'the page does not say that a key is missing');
      await picture(page, 'no-key');
      const answer = await stack.api.request('POST', `/api/v1/employees/${other.id}/password`, { json: { generate: true, reason: 'e2e' } });
      assert(answer.status === 409, `the API answered ${answer.status}`);
    }),

    () => test('an account is unlocked and made to change its password on the employee\'s page, with a reason', async (page) => {
      const locked = stack.account('locked');
      const state = async () => (await stack.api.must('GET', `/api/v1/employees/${locked.id}`)).state;
      assert((await state()).locked, 'nobody is locked');
      await signIn(page, admin);
      await page.goto(employeePage(locked));
      await page.getByRole('link', { name: 'Unlock the account' }).click();
      await page.getByRole('heading', { name: 'Unlock the account' }).waitFor();
      await axe(page, 'unlock');
      await picture(page, 'unlock');
      const { status } = await send('POST', `${employeePage(locked)}/unlock`, { form: { csrf: await page.locator('input[name=csrf]').first().inputValue(), reason: '' } });
      assert(status === 422 && (await state()).locked, `without a reason: ${status}`);
      await page.getByLabel('Reason').fill('e2e: stands before me');
      await page.getByRole('button', { name: 'Unlock it' }).click();
      await page.waitForURL(employeePage(locked));
      assert(!(await state()).locked, 'the account is still locked');
      assert(await page.getByRole('link', { name: 'Unlock the account' }).count() === 0, 'an account that is not locked can be unlocked');
      await page.getByRole('link', { name: 'Must change at next sign-in' }).click();
      await axe(page, 'must change');
      await picture(page, 'must-change');
      await page.getByLabel('Reason').fill('e2e: stands before me');
      await page.getByRole('button', { name: 'Have it changed' }).click();
      await page.waitForURL(employeePage(locked));
      assert((await state()).must_change, 'the password need not be changed');
      const again = await stack.api.request('POST', `/api/v1/employees/${locked.id}/unlock`, { json: { reason: 'e2e: again' } });
      assert(again.status === 409, `unlocked twice: ${again.status}`);
      const { rows } = await stack.api.must('GET', `/api/v1/audit?action=account.*&target=${locked.login}`);
      const told = rows.map(({ action, outcome }) => `${action} ${outcome}`).reverse().join(', ');
      assert(told === 'account.unlock begun, account.unlock ok, account.must_change begun, account.must_change ok, account.unlock conflict', told);

      // The same by the API, of an account that is locked anew and need not change its password any more.
      const secret = stack.path('locked-admin'), dn = Buffer.from(`<GUID=${locked.id}>`).toString('base64');
      fs.writeFileSync(secret, stack.dc.domain_admin_password, { mode: 0o600 });
      await must('ldapmodify', ['-x', '-H', stack.dc.ldaps_uri, '-D', stack.dc.domain_admin_upn, '-y', secret],
        { env: { LDAPTLS_CACERT: stack.dc.ca_file }, input: `dn:: ${dn}\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: -1\n` });
      fs.rmSync(secret);
      await until('the account is locked', async () => {
        await ldapBind(stack.dc, locked.upn, 'certainly wrong');
        return (await state()).locked;
      });
      for (const step of ['unlock', 'must-change']) await stack.api.must('POST', `/api/v1/employees/${locked.id}/${step}`, { json: { reason: 'e2e: by the API' } });
      const { locked: still, must_change: must_it } = await state();
      assert(!still && must_it, `locked: ${still}, must change: ${must_it}`);
    }),

    () => test('a state-changing request without the token, or from elsewhere, is refused', async (page) => {
      await signIn(page, admin);
      for (const [headers, form] of [[{ Origin: new URL(stack.pageUrl).origin }, {}], [{ Origin: 'https://evil.example' }, { csrf: 'x' }]]) {
        const { status } = await send('POST', `${stack.employeeUrl}/password`, { form: { mode: 'generate', ...form }, headers });
        assert(status >= 400 && status < 500, `answered ${status}`);
      }
    }),

    () => test('keyferry status says in words what daemon, key and queue do', async () => {
      const text = await must(stack.program('keyferry'), ['status', '--socket', stack.daemonSocket]);
      assert(/connected/i.test(text) && text.includes(stack.employee.login), text);
    }),

    () => test('a second daemon at the same state: one works, the other says who holds it', async () => {
      const { code, stdout, stderr } = await run(stack.program('keyferryd'), ['--config', stack.path('daemon', 'keyferryd.toml')], { uid: 64102, timeout: 10000 });
      assert(code !== 0 && (stdout + stderr).includes(String(stack.services.daemon.pid)), `exit ${code}: ${stdout}${stderr}`);
    }),

    () => test('directory down: the page says so, nothing changed; it recovers by itself', async (page) => {
      await signIn(page, admin);
      await must(path.join(ROOT, 'scripts/dc'), ['stop', stack.path('dc')]);
      await page.goto(`${stack.pageUrl}employees`);
      await page.getByText('Active Directory does not answer').waitFor();
      await axe(page, 'directory down');
      await picture(page, 'directory-down');
      const answer = await stack.api.request('POST', `/api/v1/employees/${stack.employee.id}/password`, { json: { generate: true, reason: 'e2e: down' } });
      assert(answer.status === 503, `the API answered ${answer.status}`);
      await must(path.join(ROOT, 'scripts/dc'), ['start', stack.path('dc')], { timeout: 60000 });
      await page.goto(`${stack.pageUrl}employees`);
      await page.getByRole('link', { name: stack.employee.display_name }).waitFor();
    }),
  ];
}
