// One lane of the browser tests (run.mjs starts it): its stack, its browser, its tests one after another.
//   node tests/e2e/lane.mjs LANE [--preset NAME] [--screenshots DIR] [--only TEXT]
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { openBrowser, signInOnPage } from '../../scripts/lib/demo/browser.mjs';
import { withSecondPort } from '../../scripts/lib/demo/second_key.mjs';
import { linked } from '../../scripts/lib/demo/slapd.mjs';
import { Stack } from '../../scripts/lib/demo/stack.mjs';
import { withMail } from '../support/smtp/mail_server.mjs';
import { violations } from './axe.mjs';
import { answered } from './contract.mjs';
import { withBusyHelpDesk } from './help_desk.mjs';
import { withGateway } from './help_desk_methods.mjs';
import { LANES } from './lanes.mjs';
import { withOwnTexts } from './languages.mjs';
import { withSelfService } from './me.mjs';
import { withAttributes } from './reports.mjs';
import { withScope } from './roles.mjs';
import { withSingleSignOn } from './single_sign_on.mjs';
import { withWebhook } from './webhook.mjs';

const { values: options, positionals: [lane] } = parseArgs({ allowPositionals: true, options: { preset: { type: 'string', default: 'release' }, screenshots: { type: 'string' }, only: { type: 'string', default: '' } } });
// Long, so that no test meets a step-up but the one that is about it.
class PatientStack extends withSingleSignOn(withSelfService(withGateway(withWebhook(withAttributes(withOwnTexts(withScope(withBusyHelpDesk(withMail(linked(withSecondPort(Stack))))))))))) {
  serverConfig() { return super.serverConfig().replace('[passwords]\n', '[sign_in]\nstep_up_minutes = 120\n\n[passwords]\n'); }
}
const stack = new PatientStack({ preset: options.preset });
let passed = 0, failed = 0, browser = null;

async function test(name, body) {
  if (ending || !name.includes(options.only)) return;
  const page = await browser.newPage();
  const start = Date.now();
  try {
    await body(page);
    passed += 1;
    console.log(`✓ ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`✗ ${name}: ${error.message}\n${stack.troubles(start)}`.trimEnd());
    await picture(page, `failed-${lane}-${failed}`).catch(() => {});
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
  const found = await violations(page);
  assert(found.length === 0, `${what}: ${found.join('; ')}`);
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

// However this ends, and whoever started it, nothing is left running: without a browser the test under way fails, no other begins, and
// what was started is stopped below, by whoever has started it.
let ending = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'disconnect']) process.on(signal, () => {
  ending = true;
  browser?.close().catch(() => {});
});
process.stdout.on('error', () => {});  // whoever read it may be gone

const began = Date.now();
try {
  await stack.start();
  stack.authenticators.hurry = true;
  if (!ending) browser = await openBrowser(stack);
  const admin = stack.account('administrator');
  for (const group of LANES[lane]) {
    for (const run of group({ stack, test, signIn, axe, picture, admin, send })) await run();
  }
} catch (error) {
  failed += 1;
  console.log(`✗ the browser tests of the lane '${lane}' could not run: ${error.stack}`);
} finally {
  await browser?.close().catch(() => {});
  await stack.stop();
}
if (ending) process.exit(130);
console.log(`  ${lane} took ${Math.round((Date.now() - began) / 1000)} s`);
await new Promise((resolve) => { if (process.send) process.send({ answered: answered() }, resolve); else resolve(); });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
