// Headless Chromium that trusts the server's own CA, as an administrator's browser would after the CA was installed.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { must } from './processes.mjs';

/** Name, password and the second factor's code; the first time the factor is set up. */
export async function signInOnPage(page, stack, account) {
  await page.getByLabel('User name').fill(account.login);
  await page.getByLabel('Password').fill(account.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  if (!stack.authenticators.has(account.login)) {
    await page.getByRole('button', { name: 'Begin' }).click();
    const secret = (await page.locator('[data-secret]').innerText()).replace(/ /g, '');
    const { codes: [first, second], confirmed } = stack.authenticators.first(secret);
    await page.getByLabel('The code that the app shows now').fill(first);
    await page.getByLabel('The code that follows it').fill(second);
    await page.getByRole('button', { name: 'Confirm' }).click();
    const recovery = page.locator('[data-recovery] li');
    await recovery.first().waitFor();
    confirmed(account.login, await recovery.allInnerTexts());
    await page.getByRole('link', { name: 'I have kept them' }).click();
    return;
  }
  await page.getByLabel('Code', { exact: true }).fill(await stack.authenticators.next(account.login));
  await page.getByRole('button', { name: 'Continue' }).click();
}

/**
 * Clicks what leads to another document, and waits until that is there. Needed where what the next step looks for stands on the page before, too:
 * a click alone may come back while that page still stands.
 */
export const clickThrough = (page, target) => Promise.all([page.waitForEvent('load'), target.click()]);

/** A private home folder whose certificate store holds the demo's CA. */
async function makeHome(stack) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'keyferry-browser-'));
  const store = path.join(home, '.pki', 'nssdb');
  fs.mkdirSync(store, { recursive: true });
  await must('certutil', ['-d', `sql:${store}`, '-N', '--empty-password']);
  await must('certutil', ['-d', `sql:${store}`, '-A', '-t', 'C,,', '-n', 'keyferry', '-i', stack.publicCa]);
  return home;
}

// Signals are for the program that the browser belongs to: Playwright would end that at once, and leave running what it has started besides.
const settingsOf = (home, args = [], env = {}) => ({
  handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false,
  executablePath: '/usr/bin/chromium', headless: true, env: { ...process.env, HOME: home, ...env },
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', ...args],
});

// The Chromium of each stack that somebody's browser is open in: {users, started}; it ends with the last of them.
const running = new Map();

async function launch(stack) {
  const home = await makeHome(stack);
  const browser = await chromium.launch(settingsOf(home));
  return { browser, home };
}

/** A context of its own in the stack's Chromium. */
async function openContext(stack, options) {
  const shared = running.get(stack) ?? { users: 0, started: launch(stack) };
  running.set(stack, shared);
  shared.users += 1;
  const leave = async () => {
    shared.users -= 1;
    if (shared.users > 0) return;
    if (running.get(stack) === shared) running.delete(stack);
    const { browser, home } = await shared.started;
    await browser.close();
    fs.rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const { browser } = await shared.started;
    return { context: await browser.newContext(options), leave };
  } catch (error) {
    await leave().catch(() => {});
    throw error;
  }
}

/** A Chromium of its own. */
async function openAlone(stack, { args, env, localState }, options) {
  const home = await makeHome(stack);
  fs.mkdirSync(path.join(home, 'profile'));
  if (localState) fs.writeFileSync(path.join(home, 'profile', 'Local State'), JSON.stringify(localState));
  const context = await chromium.launchPersistentContext(path.join(home, 'profile'), { ...settingsOf(home, args, env), ...options });
  return { context, leave: async () => fs.rmSync(home, { recursive: true, force: true }) };
}

/**
 * A person's own browser: cookies, cache and pages are nobody else's. The process is shared with other persons' browsers of this stack,
 * as starting one takes two seconds, but where `args`, `env` or `localState` (its settings of all profiles) say what it is to be started with.
 * The other options go to newContext.
 */
export async function openBrowser(stack, { args, env, localState, ...options } = {}) {
  const wanted = { viewport: { width: 1280, height: 900 }, ...options };
  const { context, leave } = await (args || env || localState ? openAlone(stack, { args, env, localState }, wanted) : openContext(stack, wanted));
  context.setDefaultTimeout(15000);
  const close = context.close.bind(context);
  let open = true;
  context.close = async () => {
    if (!open) return;
    open = false;
    await close();
    await leave();
  };
  return context;
}

/** Runs `body` with a page of a browser that nobody has signed in with; it is closed afterwards. `options` are openBrowser's. */
export async function asStranger(stack, body, options = {}) {
  const own = await openBrowser(stack, options);
  try {
    const page = await own.newPage();
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await body(page);
  } finally {
    await own.close();
  }
}
