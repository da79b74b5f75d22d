// What each role is shown and may do in a real browser, and whom a scope hides.
import { openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { Api } from '../../scripts/lib/demo/api.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

const HIDDEN = 'kwame.mensah';

/** A stack whose help desk does not reach one of the employees. */
export const withScope = (Base) => class extends Base {
  serverConfig() { return `${super.serverConfig()}\n[[scope]]\nrole = "help_desk"\nexclude_users = ["${HIDDEN}"]\n`; }
};

export function roleTests({ stack, test, signIn, axe, picture, admin }) {
  const hidden = stack.dc.people.find(({ login }) => login === HIDDEN);
  const as = (account) => async (work) => {
    const browser = await openBrowser(stack);
    try {
      const page = await browser.newPage();
      await signIn(page, account);
      const api = new Api(stack.pageUrl, stack.publicCa);
      api.cookie = (await browser.cookies()).filter((c) => c.name === '__Host-keyferry').map((c) => `${c.name}=${c.value}`).join('; ');
      api.csrf = (await api.must('GET', '/api/v1/session')).csrf;
      await work(page, api);
    } finally {
      await browser.close();
    }
  };
  const places = async () => [`employees`, `employees/${stack.employee.id}`, `keys`, `keys/${(await stack.api.must('GET', '/api/v1/keys')).keys[0].device}`, 'workstations'];
  /** What on this page would change something: forms that post and the links to such forms. */
  const changing = (page) => page.evaluate(() => [
    ...[...document.querySelectorAll('form[method="post"]')].map((form) => new URL(form.action).pathname).filter((action) => !['/sign-out', '/language', '/audit/filters', '/audit/export'].includes(action)),
    ...[...document.querySelectorAll('main a[href]')].map((link) => new URL(link.href).pathname).filter((path) => /\/(password|key|new|edit)$/.test(path)),
  ]);
  const set = (api, person) => api.request('POST', `/api/v1/employees/${person.id}/password`, { json: { generate: true, reason: 'e2e: roles' } });

  return [
    () => test('roles and scope: an auditor reads everything and finds nothing that changes', () => as(stack.account('auditor'))(async (page, api) => {
      for (const place of [...await places(), 'policies', 'audit', 'check-up', 'scopes', 'tokens', 'alarm']) {
        const answer = await page.goto(`${stack.pageUrl}${place}`);
        assert(answer.status() === 200, `${place} answered ${answer.status()}`);
        const found = await changing(page);
        assert(found.length === 0, `${place} has ${found.join(', ')}`);
      }
      await page.goto(`${stack.employeeUrl}`);
      await axe(page, 'an employee, for an auditor');
      await picture(page, 'role-auditor');
      const { status } = await set(api, stack.employee);
      assert(status === 403, `a password: ${status}`);
    })),
    () => test('roles and scope: a key officer adds keys, and sets no passwords', () => as(stack.account('key_officer'))(async (page, api) => {
      await page.goto(stack.employeeUrl);
      await page.getByRole('link', { name: 'Add a key' }).waitFor();
      assert(await page.getByRole('link', { name: 'Edit password' }).count() === 0, 'there is "Edit password"');
      assert(await page.getByRole('link', { name: 'Audit' }).count() === 0, 'the audit log is in the menu');
      await axe(page, 'an employee, for a key officer');
      await picture(page, 'role-key-officer');
      await page.goto(`${stack.employeeUrl}/password`);
      assert(await page.getByRole('button', { name: 'Save' }).count() === 0, 'there is a Save button');
      const { status } = await set(api, stack.employee);
      assert(status === 403, `a password: ${status}`);
    })),
    () => test('roles and scope: whom an agent does not reach is not there; a colleague is seen and left alone', () => as(stack.account('help_desk'))(async (page, api) => {
      await page.goto(`${stack.pageUrl}employees?query=${encodeURIComponent(hidden.login)}`);
      await picture(page, 'role-help-desk-search');
      assert(!(await page.content()).includes(hidden.id), 'the search finds them');
      const answer = await page.goto(`${stack.pageUrl}employees/${hidden.id}`);
      assert(answer.status() === 404, `their page: ${answer.status()}`);
      await axe(page, 'out of scope');
      await picture(page, 'role-help-desk-out-of-scope');
      const texts = [];
      for (const id of [hidden.id, 'f'.repeat(32)]) {
        const { status, body } = await api.request('GET', `/api/v1/employees/${id}`);
        assert(status === 404, `${id}: ${status}`);
        texts.push(body.detail);
      }
      assert(texts[0] === texts[1], `the answers differ: ${texts.join(' | ')}`);
      const form = { csrf: api.csrf, account: hidden.id, reason: 'e2e: roles', ticket: 'E2E-ROLES' };
      assert((await api.request('POST', '/help-desk/requests', { form })).status === 404, 'a request of theirs is not refused as for nobody');
      const [theirs, nobodys] = [await set(api, hidden), await set(api, { id: 'f'.repeat(32) })];
      assert(theirs.status >= 400 && theirs.status === nobodys.status && theirs.body.detail === nobodys.body.detail, `a password: ${theirs.status}, as for nobody: ${nobodys.status}`);
      for (const colleague of [stack.account('auditor'), stack.account('help_desk')]) {
        assert((await page.goto(`${stack.pageUrl}employees/${colleague.id}`)).status() === 200, `${colleague.login} is not seen`);
        const desk = await api.request('POST', '/help-desk/requests', { form: { csrf: api.csrf, account: colleague.id, reason: 'e2e: roles', ticket: 'E2E-ROLES' } });
        assert(desk.status === 403, `a request for ${colleague.login}: ${desk.status}`);
        const { status } = await set(api, colleague);
        assert(status === 403, `${colleague.login}: ${status}`);
      }
      await page.goto(stack.employeeUrl);
      await picture(page, 'role-help-desk');
    })),
    () => test('roles and scope: the page tells whom each role reaches, and an administrator reaches everybody but not themselves', async (page) => {
      await signIn(page, admin);
      await page.goto(`${stack.pageUrl}scopes`);
      await page.getByText(`exclude user ${HIDDEN}`).waitFor();
      assert(!(await page.content()).includes(hidden.id), 'the list has whom the rule excludes');
      for (const [scheme, width] of [['light', 1280], ['dark', 390]]) {
        await page.emulateMedia({ colorScheme: scheme });
        await page.setViewportSize({ width, height: 900 });
        await axe(page, `scopes, ${scheme}, ${width} px`);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert(overflow <= 0, `scopes at ${width} px scrolls sideways by ${overflow} px`);
        await picture(page, `scopes-${scheme}`);
      }
      assert((await page.goto(`${stack.pageUrl}employees/${hidden.id}`)).status() === 200, 'the administrator does not see them');
      assert((await page.goto(`${stack.pageUrl}scopes/nobody`)).status() === 404, 'a role that is none has a page');
      assert((await stack.api.must('GET', '/api/v1/scopes')).scopes.some(({ role }) => role === 'help_desk'), 'the API lists no scope of the help desk');
      const { count } = await stack.api.must('GET', '/api/v1/scopes/help_desk');
      const { count: all } = await stack.api.must('GET', '/api/v1/scopes/administrator');
      assert(count === all - 1, `${count} of ${all} in scope`);
      const { roles } = await stack.api.must('GET', `/api/v1/employees/${stack.account('auditor').id}/rights`);
      assert(roles.join() === 'auditor', `the auditor is ${roles}`);
      const own = await set(stack.api, admin);
      assert(own.status === 403 || own.status === 409, `one's own password: ${own.status}`);
      const log = String((await stack.api.request('GET', '/api/v1/audit/export?format=csv')).body);
      assert(/scopes\.change.*exclude user/.test(log), 'the audit log does not tell that the scopes changed');
    }),
  ];
}
