// The pages in another language than English, from right to left, and with an organisation's own texts.
import fs from 'node:fs';
import path from 'node:path';
import { openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { ROOT, UIDS, until } from '../../scripts/lib/demo/stack.mjs';

/** A stack whose server has a folder for the organisation's own texts: empty at first. */
export const withOwnTexts = (Base) => class extends Base {
  ownTexts(language) { return this.path('own', 'strings', `${language}.toml`); }
  serverConfig() {
    this.folder('own', UIDS.server, 0o755);
    this.folder('own/strings', UIDS.server, 0o755);
    return super.serverConfig().replace('[server]\n', `[server]\nown_web_dir = "${this.path('own')}"\n`);
  }
};

/** The English texts with every word turned round by bidi controls (as the locale ar-XB does), a third longer. */
function pseudo() {
  const turn = (text) => `‏${text.split(/(%[1-9]|@directory@)/).map((part, i) => (i % 2 ? part : part.replace(/[A-Za-z]+/g, (word) => `‮${word}‬`))).join('')}`;
  const lines = fs.readFileSync(path.join(ROOT, 'server/web/strings/en.toml'), 'utf8').split('\n');
  return lines.map((line) => line.replace(/^(\w+) = "(.*)"$/, (all, key, text) => {
    if (key === 'lang') return 'lang = "ar-XB"';
    if (key === 'dir') return 'dir = "rtl"';
    if (key === 'language') return 'language = "Pseudo"';
    return `${key} = "${turn(text)}"`;
  })).join('\n');
}

export function languageTests({ stack, test, signIn, axe, picture, admin }) {
  const assert = (condition, message) => { if (!condition) throw new Error(message); };
  const pages = () => ({ employees: `${stack.pageUrl}employees`, employee: stack.employeeUrl, password: `${stack.employeeUrl}/password`, keys: `${stack.pageUrl}keys`,
    workstations: `${stack.pageUrl}workstations`, policy: `${stack.pageUrl}policies/new`, tokens: `${stack.pageUrl}tokens`, alarm: `${stack.pageUrl}alarm`, 'check-up': `${stack.pageUrl}check-up`,
    audit: `${stack.pageUrl}audit`, reports: `${stack.pageUrl}reports`, scopes: `${stack.pageUrl}scopes`, approvals: `${stack.pageUrl}approvals`, missing: `${stack.pageUrl}nothing/here` });
  /** Runs `body` with a page of a browser of its own. */
  const inBrowser = async (options, body) => {
    const own = await openBrowser(stack, options);
    try { await body(await own.newPage(), own); } finally { await own.close(); }
  };
  const shapes = [['light', 1280], ['dark', 390]];
  const check = async (page, name, prefix) => {
    for (const [scheme, width] of shapes) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height: 900 });
      await axe(page, `${prefix} ${name}, ${scheme}, ${width} px`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert(overflow <= 0, `${prefix} ${name} at ${width} px scrolls sideways by ${overflow} px`);
      await picture(page, `${prefix}-${name}-${scheme}`);
    }
  };

  return [
    () => test('a browser that asks for Ukrainian gets every page in it, until another language is chosen', async (first) => {
      await signIn(first, admin);
      await inBrowser({ locale: 'uk-UA' }, async (page, own) => {
        await page.goto(stack.pageUrl);
        await page.getByLabel('Ім’я користувача').fill(admin.login);
        await page.getByLabel('Пароль').fill('Wrong-Password-1!');
        await page.getByRole('button', { name: 'Увійти' }).click();
        await page.getByRole('alert').waitFor();
        assert(/[а-яіїє]/i.test(await page.getByRole('alert').innerText()), 'the refusal is not in Ukrainian');
        await axe(page, 'Ukrainian sign-in');
        // With the session of the English browser: two factors are proven there.
        await own.addCookies((await first.context().cookies()).filter(({ name }) => name === '__Host-keyferry'));
        await page.goto(`${stack.pageUrl}employees`);
        await page.getByRole('heading', { name: 'Працівники' }).waitFor();
        for (const [name, url] of Object.entries(pages())) {
          await page.goto(url);
          assert(await page.locator('html').getAttribute('lang') === 'uk', `${name} is not marked as Ukrainian`);
          await check(page, name, 'uk');
        }
        // One's own choice goes before the browser's, comes back to the same page, and stays.
        await page.goto(`${stack.pageUrl}employees?query=${encodeURIComponent('anna')}`);
        await page.getByRole('button', { name: 'English' }).click();
        await page.getByRole('heading', { name: 'Employees' }).waitFor();
        assert(page.url().endsWith('/employees?query=anna'), `came back to ${page.url()}`);
        await page.goto(`${stack.pageUrl}keys`);
        await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor();
        const cookie = (await own.cookies()).find(({ name }) => name === '__Host-keyferry-language');
        assert(cookie.secure && cookie.httpOnly && cookie.sameSite === 'Lax' && cookie.value === 'en', 'the cookie is not as it must be');
      });
    }),

    () => test('an organisation adds a language from right to left; SIGHUP brings it, and a mistake in it changes nothing', async (page) => {
      await signIn(page, admin);
      const reload = async (text, said) => {
        const log = stack.path('server', 'keyferry-server.log'), before = fs.statSync(log).size;
        fs.writeFileSync(stack.ownTexts('ar-XB'), text);
        process.kill(stack.services.server.pid, 'SIGHUP');
        await until(`the server says "${said}"`, () => fs.readFileSync(log).subarray(before).includes(said));
      };
      try {
        await reload(pseudo(), 'read the pages anew');
        await page.goto(`${stack.pageUrl}employees`);
        await page.getByRole('button', { name: 'Pseudo' }).click();
        await page.locator('html[dir="rtl"]').waitFor();
        for (const [name, url] of Object.entries(pages())) {
          await page.goto(url);
          const untouched = await page.evaluate(() => [...document.querySelectorAll('h1, nav a, label, th, legend')].map((one) => one.innerText.trim())
            .filter((text) => /^[A-Za-z][a-z]+( [a-z]+)*$/.test(text)));
          // What comes from the directory and the check-up's findings are not texts of the pages.
          if (!['employee', 'check-up'].includes(name)) assert(untouched.length === 0, `${name} has texts of its own: ${untouched.join(' | ')}`);
          const heading = await page.locator('h1').first().evaluate((element) => getComputedStyle(element).direction);
          assert(heading === 'rtl', `${name} is not laid out from the right`);
          if (name === 'employees') assert((await page.locator('.brand').first().boundingBox()).x > 640, 'the bar is not laid out from the right');
          await check(page, name, 'rtl');
          await page.setViewportSize({ width: 1280, height: 900 });
        }
        await reload('lang = "ar-XB"\ndir = "up"\n', '`dir` must be');
        await page.goto(`${stack.pageUrl}employees`);
        await page.locator('html[dir="rtl"]').waitFor();
      } finally {
        fs.rmSync(stack.ownTexts('ar-XB'));
        process.kill(stack.services.server.pid, 'SIGHUP');
      }
      await until('the language is gone again', async () => { await page.goto(`${stack.pageUrl}employees`); return await page.locator('html[dir="ltr"]').count() === 1; });
    }),
  ];
}
