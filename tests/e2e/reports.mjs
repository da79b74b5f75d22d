// The reports: every number leads to its list, and they follow what happens on real parts. The audit log: looking for entries, filters that are kept, export.
import fs from 'node:fs';
import { openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { until } from '../../scripts/lib/demo/stack.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

/** A stack whose agents may look at two attributes. */
export const withAttributes = (Base) => class extends Base {
  serverConfig() { return super.serverConfig().replace('[directory]\n', '[directory]\nshown_attributes = ["displayName", "title"]\n'); }
};

export function reportTests({ stack, test, signIn, axe, picture, admin }) {
  const reports = () => stack.api.must('GET', '/api/v1/reports');
  const tile = (page, name) => page.locator('.tile').filter({ has: page.getByText(name, { exact: true }) });

  return [
    () => test('reports: the numbers follow a password from the request to the key, and lead to their lists', async (page) => {
      await signIn(page, admin);
      await page.emulateMedia({ reducedMotion: 'reduce' });
      // A password of a test before may still be on its way to the key, and would arrive between the two looks.
      const before = await until('no password is on its way', async () => { const now = await reports(); return now.pending === 0 && now; });
      await stack.keyControl('unplug');
      await stack.api.must('POST', `/api/v1/employees/${stack.employee.id}/password`, { json: { generate: true, reason: 'e2e: reports' }, headers: { 'Idempotency-Key': 'e2e-reports-1' } });
      const now = await reports();
      assert(now.ahead === before.ahead + 1 && now.pending === before.pending + 1, `ahead ${before.ahead} → ${now.ahead}, pending ${before.pending} → ${now.pending}`);
      const sum = ({ set }) => set.reduce((all, { count }) => all + count, 0);
      assert(now.set.at(-1).count > 0 && sum(now) === sum(before) + 1, 'today has no more than before');  // also where the day has just begun

      await page.getByRole('link', { name: 'Reports', exact: true }).click();
      await page.getByRole('heading', { name: 'Reports' }).waitFor();
      assert((await tile(page, 'Active Directory is ahead of the key').locator('strong').innerText()) === String(now.ahead), 'the tile says something else');
      await page.getByText('Show as a table').first().click();
      await axe(page, 'reports with the table');
      await picture(page, 'reports');
      await page.getByRole('row').filter({ hasText: new Date(now.set.at(-1).day).toISOString().slice(0, 10) }).getByRole('link').click();
      await page.getByRole('heading', { name: /^Passwords set on/ }).waitFor();
      assert(await page.locator('main tbody tr').count() === Math.min(now.set.at(-1).count, 50), 'the day\'s list has another length');
      await axe(page, 'passwords of a day');

      await page.goto(`${stack.pageUrl}reports`);
      await tile(page, 'Active Directory is ahead of the key').getByRole('link').click();
      const row = page.getByRole('row').filter({ hasText: 'e2e: reports' });
      await row.getByText('Ahead of the key').waitFor();
      await axe(page, 'changes ahead of the key');
      await picture(page, 'report-ahead');
      await row.getByRole('link', { name: stack.employee.login }).click();
      await page.getByRole('heading', { name: stack.employee.display_name }).waitFor();

      await page.goto(`${stack.pageUrl}reports`);
      await tile(page, 'Active Directory is ahead of the key').locator('strong').getByText(String(now.ahead), { exact: true }).waitFor();
      await stack.keyControl('plug');
      await tile(page, 'Active Directory is ahead of the key').locator('strong').getByText(String(before.ahead), { exact: true }).waitFor();  // by itself
      await until('the key has it', async () => (await reports()).ahead === before.ahead);
      assert((await reports()).pending === before.pending, 'it is still pending');
    }),

    () => test('audit: a filter finds its entries, is kept under a name, and is what the export holds', async (page) => {
      await signIn(page, admin);
      await page.emulateMedia({ reducedMotion: 'reduce' });
      await stack.api.must('POST', `/api/v1/employees/${stack.employee.id}/password`, { json: { generate: true, reason: 'e2e: audit' }, headers: { 'Idempotency-Key': 'e2e-audit-1' } });
      await page.getByRole('link', { name: 'Audit', exact: true }).click();
      await page.getByLabel('Action').fill('password.*');
      await page.getByLabel('About').fill(stack.employee.login);
      await page.getByLabel('Outcome').selectOption('ok');
      await page.getByLabel('Time').selectOption('week');
      await page.getByRole('button', { name: 'Show', exact: true }).click();
      await page.waitForURL(/action=password/);
      const rows = page.locator('main tbody tr');
      assert(await rows.count() > 0, 'nothing is found');
      for (const text of await rows.allInnerTexts()) assert(/password\./.test(text) && text.includes(stack.employee.login), `found: ${text}`);
      await axe(page, 'audit with a filter');
      await picture(page, 'audit-filter');

      await page.getByLabel('Keep this filter under a name').fill('Passwords of one');
      await page.getByRole('button', { name: 'Keep', exact: true }).click();
      const kept = page.getByRole('link', { name: 'Passwords of one' });
      await kept.waitFor();
      await axe(page, 'audit with a kept filter');
      await page.goto(`${stack.pageUrl}audit?actor=nobody.at.all`);
      await page.getByRole('heading', { name: 'Nothing matches' }).waitFor();
      await kept.click();
      await page.waitForURL(/action=password/);
      assert(await page.getByLabel('About').inputValue() === stack.employee.login, 'the filter came back without the person');

      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export', exact: true }).click()]);
      const lines = fs.readFileSync(await download.path(), 'utf8').trim().split('\r\n');
      assert(lines.length > 1 && lines.slice(1).every((line) => line.includes('"password.') && line.includes(`"${stack.employee.login}"`)), `exported: ${lines.slice(0, 3).join(' / ')}`);

      await page.goto(`${stack.pageUrl}audit?from=2026-02-30`);
      await page.getByRole('alert').waitFor();
      await axe(page, 'audit with a filter that is none');
      await page.getByRole('button', { name: 'Remove Passwords of one' }).click();
      await page.getByRole('link', { name: 'Passwords of one' }).waitFor({ state: 'detached' });
    }),

    () => test('employees: narrowed and ordered with and without script, attributes are shown and audited', async (page) => {
      await signIn(page, admin);
      await page.emulateMedia({ reducedMotion: 'reduce' });
      await page.goto(`${stack.pageUrl}employees`);
      const names = () => page.locator('[data-part="people"] .row-link').allInnerTexts();
      const whole = await names();
      await page.getByLabel('Show').selectOption('key_active');
      await page.waitForURL(/show=key_active/);
      await until('the list is narrowed', async () => (await names()).length < whole.length);
      assert((await names()).includes(stack.employee.display_name), 'who has a key is not in the list');
      await axe(page, 'employees with active keys');
      await picture(page, 'employees-narrowed');

      const plain = await openBrowser(stack, { javaScriptEnabled: false });
      try {
        const other = await plain.newPage();
        await signIn(other, admin);
        await other.goto(`${stack.pageUrl}employees`);
        await other.getByLabel('Order').selectOption('login_down');
        await other.getByRole('button', { name: 'Search' }).click();
        const logins = (await other.locator('[data-part="people"] tbody tr td:nth-child(2)').allInnerTexts()).map((text) => text.trim());
        assert(logins.length > 2 && JSON.stringify(logins) === JSON.stringify([...logins].sort().reverse()), `in this order: ${logins}`);
      } finally {
        await plain.close();
      }

      await page.goto(`${stack.pageUrl}employees?show=must_change`);
      await page.getByRole('heading', { name: 'Employees' }).waitFor();
      assert(await page.getByRole('alert').count() === 0, 'the directory refuses the state');
      await page.goto(`${stack.pageUrl}employees?show=locked`);
      assert(await page.getByRole('alert').count() === 0, 'the directory refuses the state');
      await page.goto(`${stack.pageUrl}employees?show=expired`);
      assert(await page.getByRole('alert').count() === 0, 'the directory refuses the state');

      await page.goto(stack.employeeUrl);
      await page.getByRole('button', { name: 'Show attributes' }).click();
      await page.getByRole('heading', { name: 'Attributes' }).waitFor();
      await page.locator('#attributes dd').filter({ hasText: stack.employee.display_name }).waitFor();
      await axe(page, 'an employee with attributes');
      await picture(page, 'employee-attributes');
      const { rows } = await stack.api.must('GET', `/api/v1/audit?action=person.attributes&target=${stack.employee.login}`);
      assert(rows.length === 1 && rows[0].detail === 'displayName, title', `audited: ${JSON.stringify(rows)}`);
    }),
  ];
}
