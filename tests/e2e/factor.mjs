// Second factor, sessions and step-up in a real browser.
import path from 'node:path';
import { scanBeside } from '../../scripts/lib/demo/canary.mjs';
import { clickThrough, openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { must } from '../../scripts/lib/demo/processes.mjs';
import { byTwo } from './second_administrator.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

const TYPED = 'Stepped-Up-2026!';

/** As if hours had gone by since the last proofs. */
export async function ageProofs(stack, login = '%') {
  await stack.services.server.stop();
  await must('sqlite3', [stack.path('server', 'state', 'keyferry.db'), `UPDATE sessions SET proven = proven - 10000 WHERE login LIKE '${login}'`]);
  await must('chown', ['-R', '64101:64101', stack.path('server', 'state')]);
  await stack.services.server.start();
}

export function factorTests({ stack, test, signIn, axe, picture, admin }) {
  const desk = stack.account('auditor');  // whom no other test signs in
  let recovery = [], secret = '';

  /** A browser of that person's own, at the password form. */
  const atDesk = async (work) => {
    const browser = await openBrowser(stack);
    try {
      const page = await browser.newPage();
      await page.goto(stack.pageUrl);
      await work(page);
    } finally {
      await browser.close();
    }
  };
  const password = async (page, account = desk) => {
    await page.getByLabel('User name').fill(account.login);
    await page.getByLabel('Password').fill(account.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
  };
  const give = async (page, code) => {
    await page.getByLabel('Code', { exact: true }).fill(code);
    await page.getByRole('button', { name: 'Continue' }).click();
  };
  const isIn = (page) => page.getByRole('heading', { name: 'Employees' }).waitFor();
  const narrow = async (page, what) => {
    await page.setViewportSize({ width: 390, height: 900 });
    await page.emulateMedia({ colorScheme: 'dark' });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert(overflow <= 0, `${what} scrolls sideways by ${overflow} px`);
    await axe(page, `${what} on a phone`);
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.emulateMedia({ colorScheme: 'light' });
  };
  const age = () => ageProofs(stack);

  return [
    () => test('second factor: nothing opens before it is set up; secret and recovery codes are shown once', () => atDesk(async (page) => {
      await password(page);
      await page.getByRole('heading', { name: 'Set up your second factor' }).waitFor();
      await page.goto(`${stack.pageUrl}employees`);
      await page.getByLabel('User name').waitFor();
      await password(page);
      await axe(page, 'set-up');
      await page.getByRole('button', { name: 'Begin' }).click();
      secret = (await page.locator('[data-secret]').innerText()).replace(/ /g, '');
      assert(/^[A-Z2-7]{32}$/.test(secret), 'the secret is not 160 bits of base 32');
      await page.getByRole('img', { name: /QR code/ }).waitFor();
      await axe(page, 'set-up with the secret');
      await picture(page, 'factor-set-up');
      await narrow(page, 'set-up with the secret');
      const { codes: [first, second], confirmed } = stack.authenticators.first(secret);
      const confirm = async (a, b) => {
        await page.getByLabel('The code that the app shows now').fill(a);
        await page.getByLabel('The code that follows it').fill(b);
        await page.getByRole('button', { name: 'Confirm' }).click();
      };
      await confirm(second, first);
      await page.getByRole('alert').waitFor();
      assert(!(await page.content()).replace(/ /g, '').includes(secret), 'the secret is shown again');
      await axe(page, 'set-up with wrong codes');
      await confirm(first, second);
      await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor();
      recovery = await page.locator('[data-recovery] li').allInnerTexts();
      confirmed(desk.login, recovery.slice(5));
      assert(recovery.length === 10, `${recovery.length} recovery codes`);
      await axe(page, 'recovery codes');
      await picture(page, 'factor-recovery-codes');
      await page.getByRole('link', { name: 'I have kept them' }).click();
      await isIn(page);
    })),
    () => test('second factor: a wrong code and a used one get one answer; a recovery code works once', () => atDesk(async (page) => {
      const texts = [];
      await password(page);
      await axe(page, 'code');
      await picture(page, 'factor-code');
      for (const code of ['000000', ' 12345', 'abcd-efgh-ijkl-mnop']) {
        await page.getByLabel('Code', { exact: true }).fill(code);
        await clickThrough(page, page.getByRole('button', { name: 'Continue' }));
        texts.push(await page.getByRole('alert').innerText());
      }
      await axe(page, 'a wrong code');
      await give(page, recovery[0]);
      await isIn(page);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await password(page);
      await give(page, recovery[0]);
      await page.getByRole('alert').waitFor();
      texts.push(await page.getByRole('alert').innerText());
      assert(new Set(texts).size === 1, `the answers differ: ${texts.join(' | ')}`);
      await give(page, await stack.authenticators.next(desk.login));
      await isIn(page);
    })),
    () => test('sessions: listed, ended one by one and all others; an administrator ends another\'s', (page) => atDesk(async (theirs) => {
      await password(theirs);
      await give(theirs, await stack.authenticators.next(desk.login));
      await isIn(theirs);
      await signIn(page, admin);
      await page.goto(`${stack.pageUrl}sessions`);
      await page.getByText('(this one)').waitFor();
      await axe(page, 'sessions');
      await picture(page, 'sessions');
      await narrow(page, 'sessions');
      const row = page.getByRole('row', { name: new RegExp(desk.login) }).filter({ has: page.getByRole('button', { name: /^End/ }) });
      const find = () => page.goto(`${stack.pageUrl}sessions?person=${desk.login}`);
      await find();
      assert(await row.count() >= 1, 'the other\'s session is not listed');
      for (let ended = 0; await row.count() > 0; ended += 1) {
        assert(ended < 100, 'the session is still there');
        await row.first().getByRole('button', { name: /^End/ }).click();
        await page.waitForURL(`${stack.pageUrl}sessions`);
        await find();
      }
      await page.goto(`${stack.pageUrl}sessions`);
      await theirs.goto(`${stack.pageUrl}employees`);
      await theirs.getByLabel('User name').waitFor();
      await clickThrough(page, page.getByRole('button', { name: 'End all others' }));
      await page.getByText('(this one)').waitFor();
      assert(await page.getByRole('region', { name: 'Your sessions' }).getByRole('row').count() === 2, 'others of mine are left');
      // That was the demo's own API session, too.
      await stack.api.signIn(admin.login, admin.password);
    })),
    () => test('step-up: an old proof is asked for anew, and the form goes on without the typed password', async (page) => {
      await signIn(page, admin);
      await page.goto(`${stack.employeeUrl}/password`);
      await page.getByLabel(/type/i).first().check();
      await page.getByLabel(/^new password/i).fill(TYPED);
      await page.getByLabel(/again|repeat|confirm/i).fill(TYPED);
      await page.getByLabel(/reason/i).fill('e2e: "step-up" <now>');
      await age();
      await page.getByRole('button', { name: /save/i }).click();
      await page.getByRole('heading', { name: 'Your code, once more' }).waitFor();
      assert(!(await page.content()).includes(TYPED), 'the typed password came back');
      await axe(page, 'step-up');
      await picture(page, 'step-up');
      await narrow(page, 'step-up');
      const fill = async (code) => {
        await page.getByLabel('New password', { exact: true }).fill(TYPED);
        await page.getByLabel('New password again').fill(TYPED);
        await give(page, code);
      };
      await fill('000000');
      await page.getByRole('alert').waitFor();
      await axe(page, 'step-up with a wrong code');
      const [before] = (await page.context().cookies()).filter((c) => c.name === '__Host-keyferry');
      await fill(await stack.authenticators.next(admin.login));
      await page.locator('[data-step="ad"][data-done="true"]').first().waitFor();
      const [after] = (await page.context().cookies()).filter((c) => c.name === '__Host-keyferry');
      assert(before.value !== after.value, 'the session\'s cookie is the same');
      const [change] = (await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/changes`)).changes;
      assert(change.reason === 'e2e: "step-up" <now>', `the reason became ${change.reason}`);
    }),
    () => test('step-up: the API says so, and takes the code', async () => {
      await age();
      const { send } = Object.getPrototypeOf(stack.api);
      const refused = await send.call(stack.api, 'GET', '/api/v1/audit/export?format=csv');
      assert(refused.status === 403 && refused.body.code === 'step_up_required', `${refused.status} ${JSON.stringify(refused.body)}`);
      const done = await stack.api.request('GET', '/api/v1/audit/export?format=csv');
      assert(done.status === 200, `after step-up: ${done.status}`);
    }),
    () => test('second factor: an administrator resets another\'s; it is in no file of the server', async (page) => {
      await signIn(page, admin);
      await page.goto(`${stack.pageUrl}sessions`);
      await page.getByText(`Reset ${desk.login}`).click();
      await axe(page, 'reset of a second factor');
      await page.getByRole('button', { name: `Reset now ${desk.login}` }).click();
      if (await page.getByRole('heading', { name: 'Your code, once more' }).isVisible()) await give(page, await stack.authenticators.next(admin.login));
      await page.getByText('Nothing was changed. A second person has to approve it.').waitFor();
      await byTwo({ stack, signIn, look: axe }, page);
      assert(await page.getByText(`Reset ${desk.login}`).count() === 0, 'the factor is still there');
      stack.authenticators.forget(desk.login);
      await atDesk(async (theirs) => {
        await password(theirs);
        await theirs.getByRole('heading', { name: 'Set up your second factor' }).waitFor();
      });
      const secrets = [secret, ...recovery, stack.authenticators.secrets[admin.login]];
      const { files, hits } = await scanBeside(['server', 'daemon', 'agent', 'key', 'logs'].map((name) => stack.path(name)), secrets);
      assert(files > 5 && hits.length === 0, hits.map((hit) => `${hit.index} as ${hit.encoding} in ${path.relative(stack.state, hit.file)}`).join('; '));
    }),
  ];
}
