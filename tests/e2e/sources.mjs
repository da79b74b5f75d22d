// Several password sources, in the browser: one change to Active Directory and to OpenLDAP.
import { ldapBind } from '../../scripts/lib/demo/login.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

export function sourceTests({ stack, test, signIn, axe, picture, admin }) {
  const { lab } = stack;
  const { login, upn } = stack.employee;
  const history = `/api/v1/employees/${stack.employee.id}/changes`;
  const newest = async () => (await stack.api.must('GET', history)).changes[0];
  const both = async (password) => [await ldapBind(stack.dc, upn, password), await lab.binds(login, password)];
  // Types it, so that the test knows it.
  const save = async (page, password, reason, tick = true) => {
    await page.goto(`${stack.employeeUrl}/password`);
    await page.getByLabel('Type it yourself').check();
    await page.getByLabel('New password').fill(password);
    await page.getByLabel('Repeat it').fill(password);
    if (tick) await page.getByLabel('Lab', { exact: false }).check();
    await page.getByLabel('Reason').fill(reason);
  };

  return [
    () => test('sources: one change sets one password in both, and the page shows each', async (page) => {
      await signIn(page, admin);
      await save(page, 'Both-Sources-2026!', 'e2e: both sources');
      assert(await page.locator('#source-first').isDisabled(), 'the first source can be left out');
      await axe(page, 'edit password with sources');
      await picture(page, 'sources-form');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.locator('[data-source="Lab"][data-state="confirmed"]').waitFor();
      assert((await both('Both-Sources-2026!')).join() === 'true,true', 'not in both');
      await axe(page, 'a change to both sources');
      await picture(page, 'sources-both');
      await page.setViewportSize({ width: 390, height: 900 });
      await page.emulateMedia({ colorScheme: 'dark' });
      await axe(page, 'a change to both sources on a phone');
      await picture(page, 'sources-both-phone');
      const [lab_] = (await newest()).sources;
      assert(lab_.state === 'confirmed' && lab_.server === lab.uri && lab_.confirmed > 0, JSON.stringify(lab_));
      const rows = (await stack.api.must('GET', '/api/v1/audit?limit=20')).rows.filter(({ detail }) => detail.startsWith('Password source "Lab"'));
      assert(rows.map(({ action, outcome }) => `${action} ${outcome}`).join() === 'password.set ok,password.attempt ok', JSON.stringify(rows));
    }),

    () => test('sources: a box that is not ticked leaves the source alone', async (page) => {
      await signIn(page, admin);
      await save(page, 'First-Only-2026!', 'e2e: one source', false);
      await page.getByRole('button', { name: 'Save' }).click();
      await page.locator('[data-step="ad"][data-done="true"]').waitFor();
      assert((await both('First-Only-2026!')).join() === 'true,false', 'not in the first alone');
      assert((await newest()).sources.length === 0, 'a source is named');
      assert(await page.locator('[data-source]').count() === 0, 'a source is shown');
    }),

    () => test('sources: slapd refuses what Active Directory takes: said with cause and next step, never claimed', async (page) => {
      await lab.setPassword(login, 'Lab-Had-This-2026!');
      await lab.setPassword(login, 'Lab-Has-This-2026!');
      await signIn(page, admin);
      await save(page, 'Lab-Had-This-2026!', 'e2e: refused by ppolicy');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByRole('heading', { name: 'Lab does not have the new password' }).waitFor();
      await page.locator('[data-source="Lab"][data-state="not_set"]').waitFor();
      await page.getByText('set a new one for both').first().waitFor();
      await axe(page, 'a source that refused');
      await picture(page, 'sources-refused');
      assert((await both('Lab-Had-This-2026!')).join() === 'true,false', 'not in the first alone');
      assert(await lab.binds(login, 'Lab-Has-This-2026!'), 'the old password of Lab is gone');
      const [lab_] = (await newest()).sources;
      assert(lab_.state === 'not_set' && lab_.confirmed === 0 && /history|used before/i.test(lab_.error), JSON.stringify(lab_));
      // The next step that it names.
      await save(page, 'Both-Again-2026!', 'e2e: the next step');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.locator('[data-source="Lab"][data-state="confirmed"]').waitFor();
      assert((await both('Both-Again-2026!')).join() === 'true,true', 'not in both');
      assert(await page.getByRole('heading', { name: 'Lab does not have the new password' }).count() === 0, 'still said');
    }),

    () => test('sources: slapd is away: its box is barred with the cause, a request for it changes nothing', async (page) => {
      const before = (await newest()).id;
      await lab.stop();
      try {
        await signIn(page, admin);
        await page.goto(`${stack.employeeUrl}/password`);
        assert(await page.getByLabel('Lab', { exact: false }).isDisabled(), 'the box is not barred');
        await page.getByText(/does not accept connections|did not answer/).waitFor();
        await axe(page, 'a source that is away');
        await picture(page, 'sources-away');
        const preflight = await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/preflight`);
        assert(preflight.allowed && preflight.sources[0].refusal && !preflight.sources[0].login, JSON.stringify(preflight));
        const answer = await stack.api.request('POST', `/api/v1/employees/${stack.employee.id}/password`, { json: { generate: true, reason: 'e2e: away', sources: ['Lab'] } });
        assert(answer.status === 503 && answer.body.detail.includes('"Lab"') && /Nothing was changed anywhere/.test(answer.body.detail), JSON.stringify(answer.body));
        assert((await newest()).id === before, 'a change was made');
        assert(await ldapBind(stack.dc, upn, 'Both-Again-2026!'), 'the first directory was changed');
      } finally {
        await lab.start();
      }
    }),

    () => test('sources: names that there are not, or twice, are refused; the list names those that there are', async () => {
      const { sources } = await stack.api.must('GET', '/api/v1/sources');
      assert(JSON.stringify(sources) === JSON.stringify([{ name: 'Lab', kind: 'openldap', match: 'login', default: false }]), JSON.stringify(sources));
      for (const names of [['Attic'], ['Lab', 'Lab']]) {
        const answer = await stack.api.request('POST', `/api/v1/employees/${stack.employee.id}/password`, { json: { generate: true, reason: 'e2e', sources: names } });
        assert(answer.status === 400, `${names}: ${answer.status}`);
      }
    }),
  ];
}
