// Employees themselves, in a real browser: the page of their own, and what they prove with when they call the help desk.
import fs from 'node:fs';
import { clickThrough, openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { until } from '../../scripts/lib/demo/stack.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

/** A stack where employees without a role sign in. */
export const withSelfService = (Base) => class extends Base {
  serverConfig() { return `${super.serverConfig()}\n[self_service]\nenabled = true\npasswords_per_day = 5\n`; }
};

export function ownPageTests({ stack, test, signIn, axe, picture, admin }) {
  const person = stack.account('employee_without_key');

  /** A browser of that person's own, at the password form. */
  const atHome = async (work) => {
    const browser = await openBrowser(stack);
    try {
      const page = await browser.newPage();
      await page.goto(stack.pageUrl);
      await work(page, browser);
    } finally {
      await browser.close();
    }
  };
  const password = async (page, account = person) => {
    await page.getByLabel('User name').fill(account.login);
    await page.getByLabel('Password').fill(account.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
  };
  const isHome = async (page, account = person) => {
    await page.getByRole('heading', { name: account.display_name, level: 1 }).waitFor();
    assert(new URL(page.url()).pathname === '/me', `landed on ${page.url()}`);
  };
  /** A state of the page under axe: light at a desk, and dark on a phone, where nothing scrolls sideways. */
  const look = async (page, what, name) => {
    for (const [scheme, width] of [['light', 1280], ['dark', 390]]) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height: 900 });
      await axe(page, `${what}, ${scheme}, ${width} px`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert(overflow <= 0, `${what} at ${width} px scrolls sideways by ${overflow} px`);
      await picture(page, `me-${name}-${scheme}`);
    }
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
    await page.setViewportSize({ width: 1280, height: 900 });
  };
  /** The employee with the key, whose password an administrator has typed just now: who signs in needs to know it. */
  const withKey = async () => {
    const typed = `Own-Page-${Date.now()}!`;
    const desk = await openBrowser(stack);
    try {
      const page = await desk.newPage();
      await signIn(page, admin);
      await page.goto(`${stack.employeeUrl}/password`);
      await page.getByLabel('Type it yourself').check();
      await page.getByLabel('New password').fill(typed);
      await page.getByLabel('Repeat it').fill(typed);
      await page.getByLabel('Reason').fill('e2e: not for employees to read');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.waitForURL(stack.employeeUrl);
    } finally {
      await desk.close();
    }
    return { ...stack.employee, password: typed };
  };
  const switched = async (on, work) => {
    const config = stack.path('server', 'keyferry-server.toml');
    const turn = async (to) => {
      await stack.services.server.stop();
      fs.writeFileSync(config, fs.readFileSync(config, 'utf8').replace(/(\[self_service\]\nenabled = )\w+/, `$1${to}`));
      await stack.services.server.start();
    };
    await turn(on);
    try { await work(); } finally { await turn(!on); }
  };

  return [
    () => test('own page: an employee without a role signs in to it and to nothing else', () => atHome(async (page, browser) => {
      await password(page);
      await isHome(page);
      await page.getByRole('heading', { name: 'Your security keys' }).waitFor();
      await look(page, 'the own page', 'home');
      const api = new Api(stack.pageUrl, stack.publicCa);
      api.cookie = (await browser.cookies()).filter((c) => c.name === '__Host-keyferry').map((c) => `${c.name}=${c.value}`).join('; ');
      for (const place of ['/employees', `/employees/${stack.employee.id}`, '/keys', '/sessions', '/second-factor', '/help-desk', '/audit', '/alarm', '/api/v1/session', '/api/v1/employees']) {
        const { status } = await api.request('GET', place);
        assert(status === 403, `${place} answered ${status}`);
      }
      await page.goto(`${stack.pageUrl}employees`);
      await page.getByRole('heading', { name: 'This is not allowed' }).waitFor();
      await axe(page, 'a page that is not theirs');
      await page.getByRole('link', { name: 'Keyferry' }).click();
      await isHome(page);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByLabel('User name').waitFor();
      await page.goto(`${stack.pageUrl}me`);
      await page.getByLabel('User name').waitFor();
    })),
    () => test('own page: the newest password is followed to the key; the other sessions are ended', () => atHome(async (page) => {
      const employee = await withKey();
      const other = await openBrowser(stack);
      try {
        const second = await other.newPage();
        await second.goto(`${stack.pageUrl}keys`);
        await password(second, employee);
        await isHome(second, employee);
        await password(page, employee);
        await isHome(page, employee);
        await page.locator('[data-step="ad"][data-done="true"]').first().waitFor();
        assert(!(await page.content()).includes(admin.login) && !(await page.content()).includes('not for employees'), 'the page says who set the password, or why');
        await look(page, 'the own page of somebody with a key', 'key');
        await clickThrough(page, page.getByRole('button', { name: 'End all others' }));
        await page.getByText('(this one)').waitFor();
        assert(await page.getByRole('button', { name: 'End all others' }).count() === 0, 'others are left');
        await second.goto(`${stack.pageUrl}me`);
        await second.getByLabel('User name').waitFor();
      } finally {
        await other.close();
      }
    })),
    () => test('own page: a new password of one\'s own is set after the present one was typed, and goes to the key', () => atHome(async (page) => {
      const employee = await withKey();
      await password(page, employee);
      await isHome(page, employee);
      await page.getByRole('link', { name: 'Change it' }).click();
      await page.getByRole('heading', { name: 'A new password for you' }).waitFor();
      await look(page, 'a new password of one\'s own', 'password');
      await page.getByLabel('Your password').fill('Certainly-Wrong-1!');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByRole('alert').waitFor();
      await look(page, 'a wrong present password', 'password-wrong');
      const newest = async () => (await stack.api.must('GET', `/api/v1/employees/${employee.id}/changes`)).changes[0];
      const before = await newest();
      assert(before.reason === 'e2e: not for employees to read', 'a wrong password changes something');
      await page.getByLabel('Your password').fill(employee.password);
      await page.getByRole('button', { name: 'Save' }).click();
      await isHome(page, employee);
      const change = await until('the key has it', async () => { const one = await newest(); return one.id !== before.id && one.state === 'done' && one; });
      const row = (await stack.api.must('GET', '/api/v1/audit')).rows.find(({ action, target }) => action === 'password.set' && target === employee.login);
      assert(row.actor === employee.login && row.outcome === 'ok' && change.reason === '', `audited as ${JSON.stringify(row)}`);
      await page.reload();
      await page.locator('[data-step="delivered"][data-done="true"]').first().waitFor();
    })),
    () => test('own page: whoever has a role finds it at the foot of every page', async (page) => {
      await signIn(page, admin);
      await page.getByRole('contentinfo').getByRole('link', { name: 'Your account' }).click();
      await isHome(page, admin);
      await axe(page, 'the own page of an administrator');
    }),
    () => test('own page: switched off, the right password without a role is refused in words', () => atHome(async (page) => {
      await password(page);
      await isHome(page);
      await switched(false, async () => {
        await page.goto(`${stack.pageUrl}me`);  // there is no such page, and the session is over
        await page.goto(`${stack.pageUrl}sign-in`);
        await password(page);
        await page.getByRole('alert').waitFor();
        assert(new URL(page.url()).pathname.startsWith('/sign-in'), `landed on ${page.url()}`);
        await axe(page, 'no role');
      });
    })),
    () => test('own page: an app is set up with the password, is asked for at sign-in, and proves at the help desk who calls, each code once', () => atHome(async (page, browser) => {
      const wait = async () => { await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor(); return page.locator('[data-recovery] li').allInnerTexts(); };
      await password(page);
      await isHome(page);
      await page.getByRole('link', { name: 'Set the app up' }).click();
      await page.getByLabel('Your password').fill('Certainly-Wrong-1!');
      await page.getByRole('button', { name: 'Begin' }).click();
      await page.getByRole('alert').waitFor();
      assert(await page.locator('[data-secret]').count() === 0, 'a wrong password begins the set-up');
      await look(page, 'a wrong password at the set-up', 'app-wrong');
      await page.getByLabel('Your password').fill(person.password);
      await page.getByRole('button', { name: 'Begin' }).click();
      const secret = (await page.locator('[data-secret]').innerText()).replace(/ /g, '');
      await look(page, 'the set-up of an app', 'app');
      const { codes: [first, second], confirmed } = stack.authenticators.first(secret);
      await page.getByLabel('The code that the app shows now').fill(first);
      await page.getByLabel('The code that follows it').fill(second);
      await page.getByRole('button', { name: 'Confirm' }).click();
      confirmed(person.login, await wait());
      await page.getByRole('link', { name: 'I have kept them' }).click();
      await isHome(page);
      await page.locator('[data-proof="app"]').getByText('Set up', { exact: true }).waitFor();
      await browser.clearCookies();
      await page.goto(`${stack.pageUrl}me`);
      await password(page);
      await page.getByLabel('Code', { exact: true }).fill(await stack.authenticators.next(person.login));
      await page.getByRole('button', { name: 'Continue' }).click();
      await isHome(page);

      const desk = await openBrowser(stack);
      try {
        const agent = await desk.newPage();
        await signIn(agent, stack.account('help_desk'));
        const found = (await stack.api.must('GET', `/api/v1/employees?query=${encodeURIComponent(person.login)}`)).people[0];
        await agent.goto(`${stack.pageUrl}help-desk/new?ticket=E2E-APP&user=${found.id}`);
        await agent.getByLabel('Reason').fill('e2e: the app');
        await agent.getByRole('button', { name: 'Begin' }).click();
        await agent.getByText('Unlock the account', { exact: true }).click();
        await agent.getByRole('button', { name: 'Go on to verification' }).click();
        const method = agent.locator('[data-method="totp"]');
        await method.getByLabel('Six digits that the caller reads out').waitFor();
        await look(agent, 'verification by the app', 'desk-totp');
        stack.authenticators.hurry = false;
        const code = await stack.authenticators.next(person.login);
        stack.authenticators.hurry = true;
        const give = async () => {
          await method.getByLabel('Six digits that the caller reads out').fill(code);
          await method.getByRole('button', { name: 'Check' }).click();
        };
        await give();
        await agent.getByRole('heading', { name: 'The caller is verified' }).waitFor();
        await agent.getByRole('button', { name: 'Cancel the request' }).click();
        await agent.getByRole('heading', { name: 'You cancelled this request' }).waitFor();
        await agent.goto(`${stack.pageUrl}help-desk/new?ticket=E2E-APP&user=${found.id}`);
        await agent.getByLabel('Reason').fill('e2e: the app');
        await agent.getByRole('button', { name: 'Begin' }).click();
        await agent.getByText('Unlock the account', { exact: true }).click();
        await agent.getByRole('button', { name: 'Go on to verification' }).click();
        await give();
        await method.getByText('2 attempts left').waitFor();
        await agent.getByRole('button', { name: 'Cancel the request' }).click();
        await agent.getByRole('heading', { name: 'You cancelled this request' }).waitFor();
      } finally {
        await desk.close();
      }
    })),
    () => test('own page: answers to security questions are set with the password, and the help desk asks for some of them', () => atHome(async (page) => {
      const SAID = { 'What was the surname of your first teacher?': 'Onyango-Berg', 'In which place did your mother\'s parents live?': 'Zürich  West', 'What was your favourite toy called?': 'Mister Brumm' };
      const employee = await withKey();
      await password(page, employee);
      await isHome(page, employee);
      await page.locator('[data-proof="questions"]').getByText('Not set up').waitFor();
      await page.getByRole('link', { name: 'Set answers' }).click();
      await look(page, 'security questions', 'questions');
      const fill = async (answers, typed = employee.password) => {
        for (const [i, [question, answer]] of Object.entries(SAID).entries()) {
          await page.getByLabel(`Question ${i + 1}`).selectOption({ label: question });
          await page.getByLabel(`Answer ${i + 1}`).fill(answers?.[i] ?? answer);
        }
        await page.getByLabel('Your password').fill(typed);
        await page.getByRole('button', { name: 'Save the answers' }).click();
      };
      for (const [bad, said] of [[['abc'], 'at least 4 characters'], [['teacher'], 'A word of its question'], [['Mister Brumm'], 'Two answers are the same'], [[employee.login], 'Your sign-in name']]) {
        await fill(bad);
        await page.getByRole('alert').getByText(said).waitFor();
        assert(!(await page.content()).includes('Zürich'), 'an answer comes back');
      }
      await look(page, 'an answer that is refused', 'questions-refused');
      await fill(null, 'Certainly-Wrong-1!');
      await page.getByRole('alert').getByText('This is not your password').waitFor();
      await fill(null);
      await isHome(page, employee);
      await page.locator('[data-proof="questions"]').getByText('Set up', { exact: true }).waitFor();
      assert(!(await page.content()).includes('Onyango'), 'an answer is shown');

      const desk = await openBrowser(stack);
      try {
        const agent = await desk.newPage();
        await signIn(agent, stack.account('help_desk'));
        await agent.goto(`${stack.pageUrl}help-desk/new?ticket=E2E-ASK&user=${stack.employee.id}`);
        await agent.getByLabel('Reason').fill('e2e: the questions');
        await agent.getByRole('button', { name: 'Begin' }).click();
        await agent.getByText('Unlock the account', { exact: true }).click();
        await agent.getByRole('button', { name: 'Go on to verification' }).click();
        const method = agent.locator('[data-method="questions"]');
        const asked = async () => (await method.locator('label').allInnerTexts()).map((one) => one.trim());
        const first = await asked();
        assert(first.length === 2 && first.every((one) => SAID[one]), `asked were ${first.join(' | ')}`);
        await agent.reload();
        assert(JSON.stringify(await asked()) === JSON.stringify(first), 'a reload asks for others');
        await look(agent, 'verification by questions', 'desk-questions');
        const give = async (said) => {
          for (const [i, one] of said.entries()) await method.locator('input[type=text]').nth(i).fill(one);
          await method.getByRole('button', { name: 'Check' }).click();
        };
        await give([SAID[first[0]], 'something else']);
        await method.getByText('2 attempts left').waitFor();
        assert(!(await agent.content()).includes('Onyango') && !(await agent.content()).includes('Brumm'), 'the agent sees an answer');
        await give(first.map((one) => ` ${SAID[one].toUpperCase()} `));
        await method.getByText('Passed').waitFor();  // one point: it does not suffice alone
        await agent.getByRole('button', { name: 'Cancel the request' }).click();
        await agent.getByRole('heading', { name: 'You cancelled this request' }).waitFor();
      } finally {
        await desk.close();
      }
    })),
  ];
}
