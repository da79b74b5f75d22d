// `scripts/demo --check`: the main job without a person, a line a step.
import fs from 'node:fs';
import path from 'node:path';
import { openBrowser, signInOnPage } from './browser.mjs';
import { scan } from './canary.mjs';
import { kerberos, ldapBind, login, Sink } from './login.mjs';
import { must } from './processes.mjs';
import { PIN } from './stack.mjs';

const TYPED = 'Typed-Kobzar-1840!';

/** Runs every step; returns {passed, failed}. A failed step ends the run: the later ones stand on it. */
export async function check(stack, { screenshots = null } = {}) {
  const run = new Check(stack, screenshots);
  try {
    await run.all();
  } catch (error) {
    run.failed += 1;
    console.log(`✗ ${run.current}: ${error.message}`);
    await run.picture('failure').catch(() => {});
  } finally {
    await run.close();
  }
  return { passed: run.passed, failed: run.failed };
}

class Check {
  constructor(stack, screenshots) {
    Object.assign(this, { stack, screenshots, passed: 0, failed: 0, current: 'start', secrets: [] });
    this.sink = new Sink();
    this.employee = stack.employee;
    if (screenshots) fs.mkdirSync(screenshots, { recursive: true });
  }

  /** One line: runs `work`, prints what it returns as the figure. */
  async step(words, work) {
    this.current = words;
    const figure = await work();
    this.passed += 1;
    console.log(`✓ ${words}${figure ? ` (${figure})` : ''}`);
  }

  async picture(name) {
    if (this.screenshots && this.page) await this.page.screenshot({ path: path.join(this.screenshots, `${name}.png`), fullPage: true });
  }

  async close() {
    await this.browser?.close();
    this.sink.remove();
    this.stack.writePamFile();
  }

  async all() {
    const { stack, employee } = this;
    this.stack.writePamFile(this.sink.program);
    this.browser = await openBrowser(stack);
    this.page = await this.browser.newPage();
    const admin = stack.account('administrator');

    await this.step('administrator signs in with AD credentials and the code of an authenticator app', async () => {
      await this.page.goto(stack.pageUrl);
      await signInOnPage(this.page, stack, admin);
      await this.page.getByRole('heading', { name: /employees/i }).waitFor();
      return admin.login;
    });
    await this.step('Employees: list, search, employee page by objectGUID', async () => {
      const rows = await this.page.locator('main a[href^="/employees/"]').count();
      await this.picture('employees');
      await this.page.getByRole('searchbox').fill(employee.login);
      await this.page.getByRole('searchbox').press('Enter');
      await this.page.getByRole('link', { name: employee.display_name }).click();
      await this.page.getByRole('heading', { name: employee.display_name }).waitFor();
      this.employeeUrl = this.page.url();
      if (!/\/employees\/[0-9a-f]{32}$/.test(this.employeeUrl)) throw new Error(`the page's address is ${this.employeeUrl}`);
      return `${rows} links on the first page`;
    });

    const first = await this.change('generated password: Save', {});
    await this.receiptShown(first);
    const password = await this.loginWithKey('login with key, PIN and touch: PAM, then Kerberos');
    await this.directoryAgrees(password, employee.password);
    await this.wrongPin();
    await this.unplugged(password);
    await this.serverKilled();
    await this.noSecretAnywhere();
  }

  timeline(state) { return this.page.locator(`[data-step="${state}"][data-done="true"]`).first(); }

  /** Edit password → Save on the page; waits for AD and, unless told otherwise, for the key. */
  async change(words, { typed = null, wait = true }) {
    const { page } = this;
    let figures;
    await this.step(`${words} → AD set${wait ? ' → on the key, page live without reload' : ''}`, async () => {
      await page.goto(this.employeeUrl);
      await page.getByRole('link', { name: /edit password/i }).click();
      if (typed) {
        await page.getByLabel(/type/i).first().check();
        await page.getByLabel(/^new password/i).fill(typed);
        await page.getByLabel(/again|repeat|confirm/i).fill(typed);
      } else {
        await page.getByLabel(/generate/i).first().check();
      }
      await page.getByLabel(/reason/i).fill('Check of the main job');
      await this.picture(typed ? 'edit-password-typed' : 'edit-password');
      const start = Date.now();
      await page.getByRole('button', { name: /save/i }).click();
      await this.timeline('ad').waitFor();
      const ad = Date.now() - start;
      if (!wait) return `Save → AD shown ${ad} ms`;
      await page.evaluate(() => { window.__same_page = true; });
      await this.timeline('delivered').waitFor({ timeout: 30000 });
      const key = Date.now() - start;
      const live = await page.evaluate(() => window.__same_page === true);
      figures = { ad, key };
      await this.picture('employee');
      return `Save → AD shown ${ad} ms, Save → on the key shown ${key} ms${live ? '' : ', page was reloaded by its own script'}`;
    });
    return { ...figures, view: await this.newest() };
  }

  async newest() {
    const id = this.employeeUrl.split('/').pop();
    const { changes } = await this.stack.api.must('GET', `/api/v1/employees/${id}/changes`);
    return changes[0];
  }

  async receiptShown({ view }) {
    await this.step('receipt verified and shown with time, key and sequence', async () => {
      const text = await this.page.locator('main').innerText();
      for (const [what, wanted] of [['sequence', String(view.seq)], ['key', view.device.slice(0, 8)], ['receipt hash', view.receipt_hash.slice(0, 8)]]) {
        if (!text.replace(/[\s-]/g, '').includes(wanted)) throw new Error(`the page does not show the ${what} (${wanted})`);
      }
      return `sequence ${view.seq}, receipt ${view.receipt_hash.slice(0, 16)}…, Save → AD ${view.ad_set - view.created} ms, Save → on the key ${view.delivered - view.created} ms by the server's clock`;
    });
  }

  async loginWithKey(words) {
    let password;
    await this.step(words, async () => {
      const start = Date.now();
      const { ok, output } = await login(this.stack.pamService, this.employee.login, [PIN], this.stack.env);
      if (!ok) throw new Error(output.trim());
      password = this.sink.take();
      if (password.length < 8) throw new Error('the next PAM module got no password');
      this.secrets.push(password);
      return `${Date.now() - start} ms`;
    });
    return password;
  }

  async directoryAgrees(now, before) {
    const { dc } = this.stack;
    await this.step('AD accepts the new password and refuses the old (LDAPS bind and Kerberos)', async () => {
      const found = {
        'LDAPS, new': await ldapBind(dc, this.employee.upn, now), 'Kerberos, new': await kerberos(dc, this.employee.login, now),
        'LDAPS, old': !await ldapBind(dc, this.employee.upn, before), 'Kerberos, old': !await kerberos(dc, this.employee.login, before),
      };
      const wrong = Object.entries(found).filter(([, right]) => !right).map(([what]) => what);
      if (wrong.length) throw new Error(`wrong answer: ${wrong.join(', ')}`);
    });
  }

  async wrongPin() {
    const { stack } = this;
    await this.step('wrong PIN: refused, tries shown; people without a key log in as ever', async () => {
      const { ok, output } = await login(stack.pamService, this.employee.login, ['135790'], stack.env);
      if (ok) throw new Error('a wrong PIN logged in');
      const tries = /(\d+) tries left/.exec(output);
      if (!tries) throw new Error(`no tries in: ${output.trim()}`);
      const other = stack.account('employee_without_key');
      const plain = await login(stack.pamService, other.login, [other.password], stack.env);
      if (!plain.ok) throw new Error(`${other.login} without a key could not log in: ${plain.output.trim()}`);
      const again = await login(stack.pamService, this.employee.login, [PIN], stack.env);
      if (!again.ok) throw new Error(`the right PIN was refused afterwards: ${again.output.trim()}`);
      this.sink.take();
      return tries[0];
    });
  }

  async unplugged(before) {
    const { stack } = this;
    await stack.keyControl('unplug');
    await this.change('second change, typed, with the key unplugged: Save', { typed: TYPED, wait: false });
    this.secrets.push(TYPED);
    await this.step('the page says that AD is ahead of the key; the job waits', async () => {
      await this.page.getByText(/ahead of the key/i).first().waitFor();
      await this.picture('ahead-of-the-key');
      const view = await this.newest();
      if (view.job_state !== 'ready' && view.job_state !== 'spooled') throw new Error(`the job is ${view.job_state}`);
      return `job ${view.job_state}`;
    });
    await this.step('plugging the key in delivers it', async () => {
      const start = Date.now();
      await stack.keyControl('plug');
      await this.timeline('delivered').waitFor({ timeout: 30000 });
      return `plug-in → shown on the key ${Date.now() - start} ms`;
    });
    const now = await this.loginWithKey('login with the password that came by plugging in');
    if (now !== TYPED) throw new Error('the key released another password than the one that was typed');
    await this.directoryAgrees(now, before);
  }

  async serverKilled() {
    const { stack } = this;
    await stack.keyControl('unplug');
    await this.change('third change, generated, key unplugged: Save', { wait: false });
    await this.step('server killed (SIGKILL) between AD change and delivery, restarted: nothing lost', async () => {
      await stack.services.server.kill();
      const start = Date.now();
      await stack.services.server.start();
      const ready = Date.now() - start;
      await stack.keyControl('plug');
      await this.page.goto(this.employeeUrl);
      await this.timeline('delivered').waitFor({ timeout: 60000 });
      return `ready again in ${ready} ms, delivered ${Date.now() - start} ms after the restart`;
    });
    const now = await this.loginWithKey('login with the password that outlived the crash');
    await this.directoryAgrees(now, TYPED);
  }

  async noSecretAnywhere() {
    const { stack } = this;
    await this.step('the passwords are nowhere: database, WAL, spool, logs at trace level, key image, core dumps', async () => {
      const cores = stack.path('cores');
      fs.mkdirSync(cores, { mode: 0o700 });
      for (const name of ['server', 'daemon', 'agent']) {
        await must('gcore', ['-a', '-o', path.join(cores, name), String(stack.services[name].pid)], { timeout: 120000 });
      }
      const { files, bytes, hits } = scan(['server', 'daemon', 'agent', 'key', 'logs', 'cores'].map((name) => stack.path(name)), this.secrets);
      // The control: what has to be in the server's memory is found there, so a password would be too.
      const control = scan([cores], [this.employee.login]);
      fs.rmSync(cores, { recursive: true });
      if (!control.hits.length) throw new Error('the search found nothing at all in the core images');
      if (hits.length) throw new Error(hits.map((hit) => `password ${hit.index + 1} as ${hit.encoding} in ${path.relative(stack.state, hit.file)}`).join('; '));
      return `${this.secrets.length} passwords × 12 encodings in ${files} files, ${(bytes / 1e6).toFixed(0)} MB: 0 hits`;
    });
  }
}
