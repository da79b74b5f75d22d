// What one person may not do alone: on real parts, with two administrators in browsers of their own.
import { openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { until } from '../../scripts/lib/demo/stack.mjs';
import { textOf } from '../support/smtp/mail_server.mjs';
import { colleague, group as groupOf } from './second_administrator.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

export function fourEyesTests({ stack, test, signIn, axe, picture, admin }) {
  const group = (what, dn, login) => groupOf(stack, what, dn, login);
  const second = colleague(stack);
  const changes = async () => (await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/changes`)).changes.length;
  const inBrowser = async (account, body) => {
    const own = await openBrowser(stack);
    try {
      const page = await own.newPage();
      await page.emulateMedia({ reducedMotion: 'reduce' });
      await signIn(page, account);
      const api = new Api(stack.pageUrl, stack.publicCa);
      api.cookie = (await own.cookies()).filter((c) => c.name.startsWith('__Host-')).map((c) => `${c.name}=${c.value}`).join('; ');
      api.csrf = (await api.must('GET', '/api/v1/session')).csrf;
      await body(page, api);
    } finally {
      await own.close();
    }
  };
  /** Light at a desk, and dark on a phone, where nothing scrolls sideways. */
  const look = async (page, name) => {
    await axe(page, name);
    await picture(page, `four-eyes-${name}`);
    const size = page.viewportSize();
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 390, height: 844 });
    await axe(page, `${name}, dark, 390 px`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert(overflow <= 0, `${name} scrolls sideways by ${overflow} px on a phone`);
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: 'light' });
  };

  return [
    () => test('four eyes: a privileged person gets a password when a second administrator has approved it, and once', async (page) => {
      // For the length of this test the employee is privileged, and a colleague administers.
      await group('addmembers', stack.dc.auditors_group, stack.employee.login);
      await group('addmembers', stack.dc.administrators_group, second.login);
      try {
        const before = await changes();
        let theirs = null;
        await signIn(page, admin);
        await page.goto(`${stack.pageUrl}approvals`);
        await look(page, 'none-wait');
        await page.goto(`${stack.employeeUrl}/password`);
        await page.getByRole('heading', { name: 'A second person has to approve this' }).waitFor();
        await look(page, 'password-of-a-privileged-person');
        await page.getByLabel('Reason').fill('e2e: four eyes');
        await page.getByRole('button', { name: 'Save' }).click();
        await page.waitForURL(/\/approvals\/[0-9a-f]{32}$/);
        const url = page.url(), id = url.split('/').pop();
        await page.getByText('Nothing was changed. A second person has to approve it.').waitFor();
        assert(await page.getByRole('button', { name: 'Approve' }).count() === 0, 'who asked may approve');
        await look(page, 'asked');
        const { hash } = await stack.api.must('GET', `/api/v1/approvals/${id}`);
        const own = await stack.api.request('POST', `/api/v1/approvals/${id}/approve`, { json: { hash, reason: 'e2e: oneself' } });
        assert(own.status === 403, `one's own: ${own.status}`);
        assert(await changes() === before, 'something was changed already');
        const told = await until('the other administrator is told', () => stack.mail.mails.find((mail) => mail.to[0].startsWith(`${second.login}@`) && textOf(mail).includes(url)));
        assert(textOf(told).includes('e2e: four eyes') && !stack.mail.mails.some((mail) => mail.to[0].startsWith(`${admin.login}@`) && textOf(mail).includes(url)), 'who asked is told as well, or not why');

        await inBrowser(second, async (other, api) => {
          theirs = api;
          await other.getByRole('link', { name: 'Approvals' }).click();
          await other.getByText('You may decide.').waitFor();
          await look(other, 'list');
          await other.getByRole('link', { name: 'New password' }).first().click();
          await other.getByText('e2e: four eyes').waitFor();
          const altered = await api.request('POST', `/api/v1/approvals/${id}/approve`, { json: { hash: hash.replace(/./, (c) => (c === '0' ? '1' : '0')), reason: 'e2e: altered' } });
          assert(altered.status === 409, `an altered one: ${altered.status}`);
          await other.getByLabel('Reason of the decision').fill('I have talked to her');
          await look(other, 'to-decide');
          await other.getByRole('button', { name: 'Approve' }).click();
          await other.getByText('Who asked for it may carry it out, once.').waitFor();
          assert(await other.getByRole('button', { name: 'Carry it out' }).count() === 0, 'the approver may carry it out');
        });
        assert(await changes() === before, 'the approval alone changed something');

        // The page of who asked becomes live by itself.
        await page.getByRole('button', { name: 'Carry it out' }).waitFor();
        await look(page, 'approved');
        await page.getByRole('button', { name: 'Carry it out' }).click();
        await page.waitForURL(stack.employeeUrl);
        assert(await changes() === before + 1, 'not one change');
        await page.goto(url);
        await page.getByText('The approval is used up').waitFor();
        await look(page, 'used');
        /** Asks for it by the API; the open approval. */
        const ask = async (reason) => {
          const { status, body } = await stack.api.request('POST', `/api/v1/employees/${stack.employee.id}/password`, { json: { generate: true, reason } });
          assert(status === 409 && body.code === 'approval_required', `${reason}: ${status} ${body.code}`);
          return (await stack.api.must('GET', '/api/v1/approvals')).approvals.find(({ state }) => state === 'open');
        };
        const again = await ask('e2e: four eyes');
        await theirs.must('POST', `/api/v1/approvals/${again.id}/approve`, { json: { hash: again.hash, reason: 'e2e: approved' } });
        await stack.api.must('POST', `/api/v1/approvals/${again.id}/withdraw`);
        const refused = await ask('e2e: another one');
        await theirs.must('POST', `/api/v1/approvals/${refused.id}/refuse`, { json: { hash: refused.hash, reason: 'e2e: refused' } });
        const { rows } = await stack.api.must('GET', '/api/v1/audit');
        for (const action of ['ask', 'approve', 'use', 'withdraw', 'refuse']) assert(rows.some((row) => row.action === `approval.${action}`), `no approval.${action} in the audit log`);
        assert(await changes() === before + 1, 'more than one change');
      } finally {
        await group('removemembers', stack.dc.auditors_group, stack.employee.login);
        await group('removemembers', stack.dc.administrators_group, second.login);
      }
    }),
  ];
}
