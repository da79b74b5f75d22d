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

/** A browser context in a private home folder whose certificate store holds the demo's CA. `args`, `env` and `localState` (its settings of all profiles) are the browser's, the other options go to newContext. */
export async function openBrowser(stack, { args = [], env = {}, localState = null, ...options } = {}) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'keyferry-browser-'));
  const store = path.join(home, '.pki', 'nssdb');
  fs.mkdirSync(store, { recursive: true });
  await must('certutil', ['-d', `sql:${store}`, '-N', '--empty-password']);
  await must('certutil', ['-d', `sql:${store}`, '-A', '-t', 'C,,', '-n', 'keyferry', '-i', stack.publicCa]);
  if (localState) {
    fs.mkdirSync(path.join(home, 'profile'));
    fs.writeFileSync(path.join(home, 'profile', 'Local State'), JSON.stringify(localState));
  }
  const context = await chromium.launchPersistentContext(path.join(home, 'profile'), {
    executablePath: '/usr/bin/chromium', headless: true, env: { ...process.env, HOME: home, ...env },
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', ...args],
    viewport: { width: 1280, height: 900 }, ...options,
  });
  context.setDefaultTimeout(15000);
  const close = context.close.bind(context);
  context.close = async () => { await close(); fs.rmSync(home, { recursive: true, force: true }); };
  return context;
}
