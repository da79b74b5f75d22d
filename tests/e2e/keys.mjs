// A person with two keys at one workstation.
import { ldapBind, login, Sink } from '../../scripts/lib/demo/login.mjs';
import { PIN, until } from '../../scripts/lib/demo/stack.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

export function keyTests({ stack, test, signIn, axe, picture, admin }) {
  let first, second, sink;
  const newest = async () => (await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/changes`)).changes[0];
  const settled = (what, state) => until(what, async () => { const c = await newest(); return c.state === state && c; });
  const delivery = (change, device) => change.keys.find((key) => key.device === device);
  const set = async (reason) => {
    const { status, body } = await stack.api.request('POST', `/api/v1/employees/${stack.employee.id}/password`, { json: { generate: true, reason } });
    assert(status === 201, `the API said ${status} ${body.detail}`);
    return body;
  };
  /** Logs in with the key that is left when the other one is unplugged; what it released has to be what the directory takes. */
  const loginWithout = async (control, who) => {
    await control('unplug');
    await stack.daemonSees(1);
    const { ok, output } = await login(stack.pamService, stack.employee.login, [PIN], stack.env);
    assert(ok, `${who} does not log in: ${output.trim().split('\n').pop()}`);
    const password = sink.take();
    assert(await ldapBind(stack.dc, stack.employee.upn, password), `the directory refuses what ${who} gives`);
    await control('plug');
    await stack.daemonSees(2);
    return password;
  };
  const firstControl = (command) => stack.keyControl(command), secondControl = (command) => stack.secondControl(command);

  return [
    () => test('two keys: a second one is added beside the first, and the page says that it has no password yet', async (page) => {
      sink = new Sink();
      stack.writePamFile(sink.program);
      first = (await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/keys`)).keys.find((key) => key.state === 'active').device;
      await set('e2e: before the second key');
      await settled('the first key has it', 'done');
      await stack.startSecondKey();
      second = (await stack.unassignedKey()).device;
      await signIn(page, admin);
      await page.goto(`${stack.employeeUrl}/key`);
      const choice = page.getByLabel('Enrol it as');
      assert(await choice.inputValue() === '', 'another key is not what is offered first');
      assert(await choice.locator('option').count() === 2, 'not two choices');
      await axe(page, 'add a second key');
      await picture(page, 'second-key-choice');
      await page.getByRole('button', { name: /^Enrol this key/ }).click();
      await page.getByText('It does not replace any other key.').waitFor();
      const code = (await page.locator('#activation-code span').allInnerTexts()).join('-');
      const { keys } = await until('the second key is enrolled', async () => {
        const list = await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/keys`);
        return list.keys.filter((key) => key.state === 'active').length === 2 && list;
      });
      assert(keys.find((key) => key.device === second).password === 'none', 'it has a password already');
      await stack.setSecondPin(code);
      await page.goto(stack.employeeUrl);
      await page.getByText(`Key ${second.slice(0, 4)}-${second.slice(4, 8)} has no password yet.`).waitFor();
      await axe(page, 'a key without password');
      await picture(page, 'second-key-without-password');
    }),

    () => test('two keys: one change reaches both, and each logs in with it', async (page) => {
      await signIn(page, admin);
      await page.goto(`${stack.employeeUrl}/password`);
      await page.getByText("each of this person's 2 keys").waitFor();
      await page.getByLabel('Reason').fill('e2e: two keys');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByText('2 of 2 keys have it').first().waitFor({ timeout: 30000 });
      assert(await page.locator('ol.road').count() === 2, 'not a road for each key');
      await axe(page, 'both keys have it');
      await picture(page, 'two-keys-done');
      const change = await settled('both keys have it', 'done');
      assert(change.keys.length === 2 && change.keys.every((key) => key.job_state === 'delivered' && key.receipt_hash), JSON.stringify(change.keys));
      const a = await loginWithout(secondControl, 'the first key');
      const b = await loginWithout(firstControl, 'the second key');
      assert(a === b, 'the keys give two passwords');
    }),

    () => test('two keys: one is pulled, and the change is done only when it is back', async (page) => {
      await secondControl('unplug');
      await set('e2e: one is in the drawer');
      const half = await until('the first key has it', async () => { const c = await newest(); return delivery(c, first)?.job_state === 'delivered' && c; });
      assert(half.state === 'confirmed' && delivery(half, second).job_state === 'ready', `${half.state}, ${delivery(half, second).job_state}`);
      await signIn(page, admin);
      await page.goto(stack.employeeUrl);
      await page.getByRole('heading', { name: '1 of 2 keys have the new password' }).waitFor();
      await axe(page, 'one key has it');
      await picture(page, 'two-keys-half');
      await page.setViewportSize({ width: 390, height: 900 });
      await page.emulateMedia({ colorScheme: 'dark' });
      await axe(page, 'one key has it, on a phone');
      await picture(page, 'two-keys-half-phone');
      await secondControl('plug');
      await page.getByText('2 of 2 keys have it').first().waitFor({ timeout: 30000 });
      await settled('both keys have it', 'done');
      await loginWithout(firstControl, 'the second key');
    }),

    () => test('two keys: one is lost meanwhile; the other has it, so the change is done, and the lost one is wiped', async () => {
      await secondControl('unplug');
      await set('e2e: one is lost');
      await until('the first key has it', async () => delivery(await newest(), first)?.job_state === 'delivered');
      await stack.api.must('POST', `/api/v1/keys/${second}/compromise`, { json: { reason: 'e2e: left in a train' } });
      const change = await newest();
      assert(change.state === 'done', `it is ${change.state}`);
      assert(delivery(change, second).job_state === 'cancelled' && !delivery(change, second).in_use, JSON.stringify(delivery(change, second)));
      await secondControl('plug');
      await until('the lost key is wiped', async () => (await stack.api.must('GET', `/api/v1/keys/${second}`)).wiped > 0);
      assert((await stack.api.must('GET', `/api/v1/keys/${first}`)).password === 'newest', 'the first key has not the newest');
      await stack.services.second.stop();
      const { ok, output } = await login(stack.pamService, stack.employee.login, [PIN], stack.env);
      assert(ok, `the first key does not log in: ${output}`);
      sink.take();
      stack.writePamFile();
      sink.remove();
    }),
  ];
}

/** The last of the first key: afterwards the employee has none. It is enrolled once more, and taken back on the employee's page. */
export function lastKeyTests({ stack, test, signIn, axe, picture, admin }) {
  /** The key that the test before has left to nobody; where that one did not run, the employee's is taken back first. */
  const freeKey = async () => {
    const mine = (await stack.api.must('GET', '/api/v1/keys')).keys.find(({ state }) => state === 'active');
    if (mine) await stack.api.must('POST', `/api/v1/keys/${mine.device}/deactivate`, { json: { reason: 'e2e: for another one' } });
    return until('a wiped key is free', async () => (await stack.api.must('GET', '/api/v1/keys/unassigned')).keys[0]);
  };
  return [
    () => test('a key is suspended, resumed and deactivated on its page; the real wipe comes back as a receipt', async (page) => {
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
    }),

    () => test('clear enrolment: with a reason the key is taken back, really wiped, and free for anybody; help desk is not offered it', async (page) => {
      const free = await freeKey();
      const begun = await stack.api.must('POST', '/api/v1/enrolments', { json: { account: stack.employee.id, device: free.device, workstation: free.workstation } });
      await until('it is enrolled', async () => (await stack.api.must('GET', `/api/v1/enrolments/${begun.id}`)).state === 'done');
      await signIn(page, admin);
      await page.emulateMedia({ reducedMotion: 'reduce' });
      await page.goto(stack.employeeUrl);
      await page.getByRole('link', { name: /^Clear enrolment/ }).click();
      await page.getByText('it is wiped at its next contact').waitFor();
      for (const [scheme, width] of [['dark', 390], ['light', 1280]]) {
        await page.emulateMedia({ colorScheme: scheme });
        await page.setViewportSize({ width, height: 900 });
        await axe(page, `clear enrolment, ${scheme}`);
        await picture(page, `clear-enrolment-${scheme}`);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert(overflow <= 0, `it scrolls sideways by ${overflow} px`);
      }
      await page.getByLabel('Reason').evaluate((input) => input.removeAttribute('required'));
      await page.getByRole('button', { name: 'Clear it' }).click();
      await page.locator('#reason-problem').waitFor();
      await axe(page, 'clear enrolment without a reason');
      await page.getByLabel('Reason').fill('e2e: left us');
      await page.getByRole('button', { name: 'Clear it' }).click();
      await page.waitForURL(stack.employeeUrl);
      assert(await page.getByRole('link', { name: /^Clear enrolment/ }).count() === 0, 'it is offered once more');
      await until('the key is wiped', async () => (await stack.api.must('GET', `/api/v1/keys/${free.device}`)).wiped !== 0);
      await until('the key is free', async () => (await stack.api.must('GET', '/api/v1/keys/unassigned')).keys.some(({ device }) => device === free.device));
      const [row] = (await stack.api.must('GET', '/api/v1/audit?action=key.deactivate&limit=1')).rows;
      assert(row.actor === admin.login && row.detail.includes('e2e: left us'), JSON.stringify(row));
      const again = await stack.api.request('POST', `/api/v1/enrolments/${begun.id}/clear`, { json: { reason: 'e2e: twice' } });
      assert(again.status === 409, `cleared twice: ${again.status}`);
      // The same by the API.
      const next = await stack.api.must('POST', '/api/v1/enrolments', { json: { account: stack.employee.id, device: free.device, workstation: free.workstation } });
      await until('it is enrolled anew', async () => (await stack.api.must('GET', `/api/v1/enrolments/${next.id}`)).state === 'done');
      await stack.api.must('POST', `/api/v1/enrolments/${next.id}/clear`, { json: { reason: 'e2e: by the API' } });
      await until('the key is free once more', async () => (await stack.api.must('GET', '/api/v1/keys/unassigned')).keys.some(({ device }) => device === free.device));
    }),
  ];
}
