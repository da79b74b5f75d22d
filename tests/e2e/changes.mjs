// A new password on the employee's page: refused, sent twice, waiting for the key, watched, and without script.
import { openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { ldapBind } from '../../scripts/lib/demo/login.mjs';
import { until } from '../../scripts/lib/demo/stack.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

/** Before all that give the employee another password: the first of them signs in with the one of the beginning. */
export function changeTests({ stack, test, signIn, axe, picture, admin, send }) {
  return [
    () => test('a password that the policy refuses: AD\'s reason in words, beside the field, nothing changed', async (page) => {
      await signIn(page, admin);
      await page.goto(`${stack.employeeUrl}/password`);
      await page.getByLabel('Type it yourself').check();
      await page.getByLabel('New password').fill('Short1!');
      await page.getByLabel('Repeat it').fill('Short1!');
      await page.getByLabel('Reason').fill('e2e: too short');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByRole('alert').first().waitFor();
      const text = await page.locator('main').innerText();
      assert(/10 characters|too short/i.test(text), `no reason in: ${text.slice(0, 400)}`);
      await axe(page, 'password refused');
      await picture(page, 'policy-refused');
      assert(await ldapBind(stack.dc, stack.employee.upn, stack.employee.password), 'the old password does not work any more');
    }),

    () => test('two passwords that differ: said beside the field, nothing sent', async (page) => {
      await signIn(page, admin);
      await page.goto(`${stack.employeeUrl}/password`);
      await page.getByLabel('Type it yourself').check();
      await page.getByLabel('New password').fill('Long-enough-2026!');
      await page.getByLabel('Repeat it').fill('Long-enough-2027!');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByText('not the same').waitFor();
    }),

    () => test('double submit and the back button change once', async (page) => {
      await signIn(page, admin);
      await page.goto(`${stack.employeeUrl}/password`);
      const fields = await page.locator('form[action$="/password"]').evaluate((form) => Object.fromEntries(new FormData(form)));
      const before = (await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/changes`)).changes.length;
      const save = () => send('POST', `${stack.employeeUrl}/password`, { form: { ...fields, mode: 'generate', reason: 'e2e: twice' } });
      const answers = await Promise.all([save(), save()]);
      answers.push(await save());
      assert(answers.every(({ status }) => status === 303), answers.map(({ status }) => status).join(' '));
      const after = (await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/changes`)).changes.length;
      assert(after === before + 1, `${after - before} changes`);
    }),

    () => test('at delivery: chosen on the page, which says what it waits for; the old password works; the key brings the change', async (page) => {
      await signIn(page, admin);
      const old = (await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/changes`)).changes.find((c) => c.ad_set);
      await stack.keyControl('unplug');
      await page.goto(`${stack.employeeUrl}/password`);
      await page.getByLabel('When the key is there').check();
      await page.getByLabel('Reason').fill('e2e: at delivery');
      await axe(page, 'edit password');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByRole('heading', { name: 'Waiting for the key; Active Directory is unchanged' }).waitFor();
      await page.locator('[data-step="prepared"][data-now="true"]').waitFor();
      await axe(page, 'waiting for the key');
      await picture(page, 'at-delivery-waiting');
      const [waiting] = (await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/changes`)).changes;
      assert(waiting.state === 'intent' && waiting.ad_set === 0 && waiting.id !== old?.id, `it is ${waiting.state}`);
      await stack.keyControl('plug');
      for (const step of ['prepared', 'ad', 'delivered']) await page.locator(`[data-step="${step}"][data-done="true"]`).waitFor({ timeout: 30000 });
      await axe(page, 'brought by the key');
      await picture(page, 'at-delivery-done');
    }),

    () => test('a page that renews itself loses neither a click nor who was where', async (page) => {
      await signIn(page, admin);
      const renewed = () => page.waitForResponse((answer) => answer.request().resourceType() === 'xhr' && answer.url() === stack.employeeUrl);
      const set = () => stack.api.must('POST', `/api/v1/employees/${stack.employee.id}/password`, { json: { generate: true, reason: 'e2e: renewed' } });
      const first = renewed();
      await page.goto(stack.employeeUrl);
      await first;
      const link = page.locator('[data-part="keys"] a').first();
      // In one step: an element that is asked for first and looked at afterwards may have been replaced in between.
      const linkIs = (selector) => page.evaluate((wanted) => document.querySelector('[data-part="keys"] a').matches(wanted), selector);
      const stain = () => page.locator('[data-part="keys"]').evaluate((part) => { part.dataset.old = ''; });
      const fresh = page.locator('[data-part="keys"]:not([data-old])');
      await stain();
      await link.focus();
      await set();
      await fresh.waitFor();
      assert(await linkIs(':focus'), 'the focus is lost');
      await until('the mouse is down on it', async () => {  // the page may still grow above it
        await page.locator('nav a').first().focus();  // the press takes the focus from there, which is no letting go
        await link.hover();
        await page.mouse.down();
        if (await linkIs(':active')) return true;
        await page.mouse.up();
        return false;
      });
      await stain();  // not before: the key's receipt of the first password may bring one more refresh
      // Told when the page's own script has done with the answer: loadend comes after load.
      await page.evaluate(() => {
        const { send } = XMLHttpRequest.prototype;
        XMLHttpRequest.prototype.send = function sendAndTell(...args) {
          this.addEventListener('loadend', () => { document.body.dataset.answered = ''; });
          send.apply(this, args);
        };
      });
      await set();
      await page.locator('body[data-answered]').waitFor();
      assert(await fresh.count() === 0, 'what was pressed has been replaced');
      await page.mouse.up();
      await page.waitForURL(/\/keys\//);
    }),

    () => test('pages work without script', async () => {
      const plain = await openBrowser(stack, { javaScriptEnabled: false });
      try {
        const page = await plain.newPage();
        await page.emulateMedia({ reducedMotion: 'reduce' });  // on a busy machine smooth scrolling to Save takes for ever
        await signIn(page, admin);
        await page.getByRole('searchbox').fill(stack.employee.login);
        await page.getByRole('button', { name: 'Search' }).click();
        await page.getByRole('link', { name: stack.employee.display_name }).click();
        await page.getByRole('link', { name: 'Edit password' }).click();
        await page.getByLabel('Reason').fill('e2e: no script');
        await page.getByRole('button', { name: 'Save' }).click();
        await page.locator('[data-step="ad"][data-done="true"]').waitFor();
      } finally {
        await plain.close();
      }
    }),
  ];
}
