// scripts/screenshots after building: the five main pages, with a little of a day's work on them.
import fs from 'node:fs';
import path from 'node:path';
import { withMail } from '../../../tests/support/smtp/mail_server.mjs';
import { openBrowser, signInOnPage } from './browser.mjs';
import { Stack, until } from './stack.mjs';

const into = process.argv[2];
const stack = new (withMail(Stack))({ say: (text) => console.log(`  ${text}`) });
let browser = null;

/** A browser of this person's own; `work` gets its page and a function that takes a picture. */
async function as(role, work) {
  browser = await openBrowser(stack, { viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' });
  const page = await browser.newPage();
  await page.goto(stack.pageUrl);
  await signInOnPage(page, stack, stack.account(role));
  await page.getByRole('heading', { name: 'Employees' }).waitFor();
  await work(page, async (name) => {
    await page.screenshot({ path: path.join(into, `${name}.png`) });
    console.log(`✓ ${name}.png`);
  });
  await browser.close();
  browser = null;
}

try {
  fs.mkdirSync(into, { recursive: true });
  await stack.start();
  const { employee } = stack;
  const set = (reason) => stack.api.must('POST', `/api/v1/employees/${employee.id}/password`, { json: { generate: true, reason } });
  const onKey = () => until('the key has the password', async () => (await stack.api.must('GET', `/api/v1/employees/${employee.id}/changes`)).changes[0].state === 'done');

  await set('Forgotten after the holidays');
  await onKey();
  await as('administrator', async (page, picture) => {
    await picture('employees');
    await page.goto(`${stack.pageUrl}employees/${employee.id}/password`);
    await page.getByLabel(/reason/i).fill('New laptop');
    await page.getByRole('button', { name: /save/i }).click();
    await page.locator('[data-step="delivered"][data-done="true"]').first().waitFor();
    await picture('employee');
    await page.goto(`${stack.pageUrl}keys`);
    await page.getByRole('heading', { name: 'Keys' }).waitFor();
    await picture('keys');
    await stack.keyControl('unplug');
    await set('Called from the train');
    await page.goto(`${stack.pageUrl}reports`);
    await page.getByRole('heading', { name: 'Reports' }).waitFor();
    await picture('reports');
    await stack.keyControl('plug');
  });
  await as('help_desk', async (page, picture) => {
    await page.goto(`${stack.pageUrl}help-desk/new?ticket=INC-4711&user=${employee.id}`);
    await page.getByLabel('Reason').fill('Forgot the password, works from home');
    await page.getByRole('button', { name: 'Begin' }).click();
    await page.getByText('New password to the key', { exact: true }).click();
    await page.getByRole('button', { name: 'Go on to verification' }).click();
    await page.getByRole('button', { name: 'Send the code' }).click();
    await page.getByLabel('Code that the caller reads out').waitFor();
    await picture('help-desk');
  });
} finally {
  await browser?.close();
  await stack.stop();
}
