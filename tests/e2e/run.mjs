// Browser tests beyond the main job (that one is `scripts/demo --check`): every page under axe, bad input, a directory that is down.
//   node tests/e2e/run.mjs [--preset NAME] [--screenshots DIR] [--only TEXT]
// The last line is 'N passed, N failed'.
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { AxeBuilder } from '@axe-core/playwright';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { alarmTests } from './alarm.mjs';
import { attackTests } from './attacks.mjs';
import { apiTests, contractTest } from './api.mjs';
import { openBrowser, signInOnPage } from '../../scripts/lib/demo/browser.mjs';
import { ldapBind } from '../../scripts/lib/demo/login.mjs';
import { must, run } from '../../scripts/lib/demo/processes.mjs';
import { withSecondPort } from '../../scripts/lib/demo/second_key.mjs';
import { linked } from '../../scripts/lib/demo/slapd.mjs';
import { ROOT, Stack, until } from '../../scripts/lib/demo/stack.mjs';
import { withMail } from '../support/smtp/mail_server.mjs';
import { factorTests } from './factor.mjs';
import { fidoTests } from './fido.mjs';
import { fourEyesTests } from './four_eyes.mjs';
import { helpDeskTests, withBusyHelpDesk } from './help_desk.mjs';
import { methodTests, withGateway } from './help_desk_methods.mjs';
import { clearEnrolmentTests, keyTests } from './keys.mjs';
import { ownPageTests, withSelfService } from './me.mjs';
import { noticeTests } from './notices.mjs';
import { languageTests, withOwnTexts } from './languages.mjs';
import { roleTests, withScope } from './roles.mjs';
import { reportTests, withAttributes } from './reports.mjs';
import { singleSignOnTests, withSingleSignOn } from './single_sign_on.mjs';
import { sourceTests } from './sources.mjs';
import { webhookTests, withWebhook } from './webhook.mjs';

const { values: options } = parseArgs({ options: { preset: { type: 'string', default: 'release' }, screenshots: { type: 'string' }, only: { type: 'string' } } });
// Long, so that no test meets a step-up but the one that is about it.
class PatientStack extends withSingleSignOn(withSelfService(withGateway(withWebhook(withAttributes(withOwnTexts(withScope(withBusyHelpDesk(withMail(linked(withSecondPort(Stack))))))))))) {
  serverConfig() { return super.serverConfig().replace('[passwords]\n', '[sign_in]\nstep_up_minutes = 120\n\n[passwords]\n'); }
}
const stack = new PatientStack({ preset: options.preset });
let passed = 0, failed = 0, browser = null;

async function test(name, body) {
  if (options.only && !name.includes(options.only)) return;
  const page = await browser.newPage();
  const start = Date.now();
  try {
    await body(page);
    passed += 1;
    console.log(`✓ ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`✗ ${name}: ${error.message}\n${stack.troubles(start)}`.trimEnd());
    if (options.screenshots) await page.screenshot({ path: path.join(options.screenshots, `failed-${failed}.png`), fullPage: true }).catch(() => {});
  } finally {
    await page.close();
  }
}

function assert(condition, message) { if (!condition) throw new Error(message); }

const sessions = new Map();

/** In a browser of its own a person goes on with the session of the one before: each code works once, and the next is half a minute away. */
async function signIn(page, account) {
  const session = sessions.get(account.login);
  const signedIn = (await page.context().cookies()).some((c) => c.name === '__Host-keyferry');
  if (session && !signedIn) await page.context().addCookies([session]).catch(() => {});
  await page.goto(stack.pageUrl);
  if (await page.getByRole('heading', { name: 'Employees' }).isVisible()) return;
  await signInOnPage(page, stack, account);
  await page.getByRole('heading', { name: 'Employees' }).waitFor();
  const { name, value } = (await page.context().cookies()).find((c) => c.name === '__Host-keyferry');
  sessions.set(account.login, { name, value, url: stack.pageUrl, httpOnly: true, secure: true });
}

async function axe(page, what) {
  // A colour that is still on its way from light to dark is nobody's choice.
  await page.evaluate(() => Promise.allSettled(document.getAnimations().filter((one) => one instanceof CSSTransition).map((one) => one.finished)));
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze();
  assert(violations.length === 0, `${what}: ${violations.map((v) => `${v.id} (${v.nodes.map((n) => n.target).join(', ')})`).join('; ')}`);
}

async function picture(page, name) {
  if (options.screenshots) await page.screenshot({ path: path.join(options.screenshots, `${name}.png`), fullPage: true });
}

/** A request with the browser's session, made outside of the browser so that nothing of it is followed or mended. */
async function send(method, url, { form, headers } = {}) {
  const api = new Api(stack.pageUrl, stack.publicCa);
  api.cookie = (await browser.cookies()).filter((c) => c.name === '__Host-keyferry').map((c) => `${c.name}=${c.value}`).join('; ');
  return api.request(method, url, { form, headers });
}

const employeePage = (account) => `${stack.pageUrl}employees/${account.id}`;

try {
  if (options.screenshots) fs.mkdirSync(options.screenshots, { recursive: true });
  await stack.start();
  stack.authenticators.hurry = true;
  browser = await openBrowser(stack);
  const admin = stack.account('administrator');

  await test('sign-in: a wrong password and an unknown user get the same page', async (page) => {
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
  });

  await test('the check-up page tells what the server stands on', async (page) => {
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
  });

  await test('every page is clean under axe, light and dark, phone and desk', async (page) => {
    await signIn(page, admin);
    const other = stack.account('employee_without_key');
    const policy = await stack.api.must('POST', '/api/v1/policies', { json: { name: 'Seen by axe', group_dn: stack.dc.help_desk_group, max_age_days: 3650,
      window_from: '02:00', window_until: '03:00', notify_days: [7], enabled: false } });
    const pages = { employees: `${stack.pageUrl}employees`, employee: stack.employeeUrl, 'employee-without-key': employeePage(other),
      password: `${stack.employeeUrl}/password`, 'add-key': `${employeePage(other)}/key`, keys: `${stack.pageUrl}keys`, key: `${stack.pageUrl}keys/${(await stack.api.must('GET', '/api/v1/keys')).keys[0].device}`,
      workstations: `${stack.pageUrl}workstations`, audit: `${stack.pageUrl}audit`, reports: `${stack.pageUrl}reports`, 'report-changes': `${stack.pageUrl}reports/changes?list=pending`, 'keys-filtered': `${stack.pageUrl}keys?state=revoked`, tokens: `${stack.pageUrl}tokens`, alarm: `${stack.pageUrl}alarm`, policies: `${stack.pageUrl}policies`, 'policy-new': `${stack.pageUrl}policies/new`,
      policy: `${stack.pageUrl}policies/${policy.id}`, matches: `${stack.pageUrl}workstations/matches`, enrolment: `${stack.pageUrl}enrolments/${stack.enrolment}`, 'check-up': `${stack.pageUrl}check-up`, 'not-found': `${stack.pageUrl}nothing/here` };
    for (const [name, url] of Object.entries(pages)) {
      for (const [scheme, width] of [['light', 1280], ['dark', 390]]) {
        await page.emulateMedia({ colorScheme: scheme });
        await page.setViewportSize({ width, height: 900 });
        await page.goto(url);
        await axe(page, `${name}, ${scheme}, ${width} px`);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert(overflow <= 0, `${name} at ${width} px scrolls sideways by ${overflow} px`);
        await picture(page, `${name}-${scheme}`);
      }
    }
    await stack.api.must('DELETE', `/api/v1/policies/${policy.id}`);
  });

  await test('security headers stand on every answer, errors too', async (page) => {
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
    const [cookie] = (await browser.cookies()).filter((c) => c.name === '__Host-keyferry');
    assert(cookie?.secure && cookie.httpOnly && cookie.sameSite === 'Strict', 'the session cookie is not strict');
  });

  await test('an employee without a key: explained, nothing changed', async (page) => {
    const other = stack.account('employee_without_key');
    await signIn(page, admin);
    await page.goto(`${employeePage(other)}/password`);
    assert(await page.getByRole('button', { name: 'Save' }).count() === 0, 'there is a Save button');
    assert(/key/i.test(await page.getByRole('alert').innerText()), 'the page does not say that a key is missing');
    await picture(page, 'no-key');
    const answer = await stack.api.request('POST', `/api/v1/employees/${other.id}/password`, { json: { generate: true, reason: 'e2e' } });
    assert(answer.status === 409, `the API answered ${answer.status}`);
  });

  await test('a password that the policy refuses: AD\'s reason in words, beside the field, nothing changed', async (page) => {
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
  });

  await test('two passwords that differ: said beside the field, nothing sent', async (page) => {
    await signIn(page, admin);
    await page.goto(`${stack.employeeUrl}/password`);
    await page.getByLabel('Type it yourself').check();
    await page.getByLabel('New password').fill('Long-enough-2026!');
    await page.getByLabel('Repeat it').fill('Long-enough-2027!');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('not the same').waitFor();
  });

  await test('double submit and the back button change once', async (page) => {
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
  });

  await test('at delivery: chosen on the page, which says what it waits for; the old password works; the key brings the change', async (page) => {
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
  });

  await test('a page that renews itself loses neither a click nor who was where', async (page) => {
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
  });

  await test('pages work without script', async () => {
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
  });

  await test('a state-changing request without the token, or from elsewhere, is refused', async (page) => {
    await signIn(page, admin);
    for (const [headers, form] of [[{ Origin: new URL(stack.pageUrl).origin }, {}], [{ Origin: 'https://evil.example' }, { csrf: 'x' }]]) {
      const { status } = await send('POST', `${stack.employeeUrl}/password`, { form: { mode: 'generate', ...form }, headers });
      assert(status >= 400 && status < 500, `answered ${status}`);
    }
  });

  await test('keyferry status says in words what daemon, key and queue do', async () => {
    const text = await must(stack.program('keyferry'), ['status', '--socket', stack.daemonSocket]);
    assert(/connected/i.test(text) && text.includes(stack.employee.login), text);
  });

  await test('a second daemon at the same state: one works, the other says who holds it', async () => {
    const { code, stdout, stderr } = await run(stack.program('keyferryd'), ['--config', stack.path('daemon', 'keyferryd.toml')], { uid: 64102, timeout: 10000 });
    assert(code !== 0 && (stdout + stderr).includes(String(stack.services.daemon.pid)), `exit ${code}: ${stdout}${stderr}`);
  });

  for (const run of helpDeskTests({ stack, test, signIn, axe, picture })) await run();
  for (const run of methodTests({ stack, test, signIn, axe, picture, admin })) await run();
  for (const run of webhookTests({ stack, test, signIn, axe, picture })) await run();
  for (const run of reportTests({ stack, test, signIn, axe, picture, admin })) await run();
  for (const run of languageTests({ stack, test, signIn, axe, picture, admin })) await run();
  for (const run of keyTests({ stack, test, signIn, axe, picture, admin })) await run();
  for (const run of sourceTests({ stack, test, signIn, axe, picture, admin })) await run();
  for (const run of apiTests({ stack, test, signIn, axe, picture, admin })) await run();

  for (const run of attackTests({ stack, test, signIn, admin })) await run();
  for (const run of factorTests({ stack, test, signIn, axe, picture, admin })) await run();
  for (const run of fidoTests({ stack, test, signIn, axe, picture, admin })) await run();
  for (const run of singleSignOnTests({ stack, test, axe, picture, admin })) await run();
  for (const run of ownPageTests({ stack, test, signIn, axe, picture, admin })) await run();
  for (const run of roleTests({ stack, test, signIn, axe, picture, admin })) await run();
  for (const run of fourEyesTests({ stack, test, signIn, axe, picture, admin })) await run();
  for (const run of noticeTests({ stack, test, signIn, axe, picture, admin })) await run();
  for (const run of alarmTests({ stack, test, signIn, axe, picture, admin })) await run();

  await test('directory down: the page says so, nothing changed; it recovers by itself', async (page) => {
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
  });
  await test('a key is suspended, resumed and deactivated on its page; the real wipe comes back as a receipt', async (page) => {
    const { device } = (await stack.api.must('GET', '/api/v1/keys')).keys.find(({ state }) => state === 'active');
    const key = async () => stack.api.must('GET', `/api/v1/keys/${device}`);
    const step = async (name) => {
      await page.goto(`${stack.pageUrl}keys/${device}`);
      await page.getByText(name, { exact: true }).click();
      await page.getByLabel('Reason').fill(`e2e: ${name}`);
      await page.getByRole('button', { name: 'Do it' }).click();
      await page.getByText(`e2e: ${name}`).waitFor();
    };
    await signIn(page, admin);
    await step('Suspend');
    assert((await key()).state === 'suspended', 'not suspended');
    await axe(page, 'a suspended key');
    await picture(page, 'key-suspended');
    await step('Resume');
    assert((await key()).state === 'active', 'not resumed');
    await page.goto(`${stack.pageUrl}keys/${device}`);
    await page.getByRole('button', { name: 'Do it' }).click();
    await page.getByText('Choose what to do.').waitFor();
    await axe(page, 'a key step without a choice');
    await step('Deactivate');
    await until('the key is wiped', async () => (await key()).wiped !== 0);
    await page.goto(`${stack.pageUrl}keys/${device}`);
    await page.getByText('It was wiped and proved it').waitFor();
    await picture(page, 'key-wiped');
  });
  for (const run of clearEnrolmentTests({ stack, test, signIn, axe, picture, admin })) await run();
  await contractTest({ stack, test });
} catch (error) {
  failed += 1;
  console.log(`✗ the browser tests could not run: ${error.stack}`);
} finally {
  await browser?.close();
  await stack.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
