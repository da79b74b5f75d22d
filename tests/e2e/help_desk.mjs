// The help desk: an agent serves callers on real parts, from the search to the key; and what happens when the caller lies, the time runs out, two tabs race or the
// directory goes away.
import fs from 'node:fs';
import path from 'node:path';
import { clickThrough, openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { must, run } from '../../scripts/lib/demo/processes.mjs';
import { PIN, ROOT, UIDS, until } from '../../scripts/lib/demo/stack.mjs';
import { textOf } from '../support/smtp/mail_server.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

/** A stack whose help desk may serve a person as often as these tests do. */
export const withBusyHelpDesk = (Base) => class extends Base {
  serverConfig() { return `${super.serverConfig()}\n[help_desk]\nread_out = true\nresets_per_day = 50\nresets_per_agent_hour = 500\n`; }
};

/** An agent at their desk: what the tests of the flow and of its verifications do there. */
export function deskOf({ stack, signIn, axe, picture }) {
  const agent = stack.account.bind(stack, 'help_desk');
  const caller = () => stack.employee;
  const audited = async (ticket) => (await stack.api.must('GET', '/api/v1/audit')).rows.filter(({ action, detail }) => action.startsWith('help_desk.') && detail.includes(`Ticket ${ticket}:`));

  /** Runs `body` with a page of the agent's own browser. */
  const asAgent = async (body, options = {}) => {
    const own = await openBrowser(stack, options);
    try {
      const page = await own.newPage();
      await page.emulateMedia({ reducedMotion: 'reduce' });
      await signIn(page, agent());
      await body(page, own);
    } finally {
      await own.close();
    }
  };
  const begin = async (page, ticket, person = caller()) => {
    await page.goto(`${stack.pageUrl}help-desk/new?ticket=${ticket}&user=${person.id}`);
    await page.getByLabel('Reason').fill('e2e: forgot it');
    await page.getByRole('button', { name: 'Begin' }).click();
    await page.getByRole('button', { name: 'Go on to verification' }).waitFor();
  };
  const choose = async (page, what) => {
    await page.getByText(what, { exact: true }).click();
    await page.getByRole('button', { name: 'Go on to verification' }).click();
    await page.getByRole('heading', { name: 'Verify the caller' }).waitFor();
  };
  /** A state of the page under axe: light at a desk, and dark on a phone, where nothing scrolls sideways. */
  const look = async (page, what, name) => {
    await axe(page, what);
    await picture(page, `help-desk-${name}`);
    const size = page.viewportSize();
    await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
    await page.setViewportSize({ width: 390, height: 844 });
    await axe(page, `${what}, dark, 390 px`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert(overflow <= 0, `${what} scrolls sideways by ${overflow} px on a phone`);
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
    await page.setViewportSize(size);
  };
  const method = (page, name) => page.locator(`[data-method="${name}"]`);
  const cancel = async (page) => {
    await page.getByRole('button', { name: 'Cancel the request' }).click();
    await page.getByRole('heading', { name: 'You cancelled this request' }).waitFor();
  };
  return { agent, caller, audited, asAgent, begin, choose, look, method, cancel };
}

export function helpDeskTests({ stack, test, signIn, axe, picture }) {
  const { agent, caller, audited, asAgent, begin, choose, look, method, cancel } = deskOf({ stack, signIn, axe, picture });
  const changes = async (id = caller().id) => (await stack.api.must('GET', `/api/v1/employees/${id}/changes`)).changes;
  const inPerson = async (page) => {
    await page.getByText('Company badge').click();
    await page.getByRole('button', { name: 'I have seen it' }).click();
    await page.getByRole('heading', { name: 'The caller is verified' }).waitFor();
  };
  /** Whether the workstation has a question for the caller. Its daemon takes datagrams, which Node cannot send. */
  const isAsked = async () => JSON.parse(await must('/usr/bin/python3', ['-c', 'import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); s.send(b\'{"op":"asked"}\'); print(s.recv(65536).decode())',
    stack.daemonSocket])).questions.some(({ login }) => login === caller().login);
  /** Asks for the touch; the number that the agent reads out, once the workstation has the question: it comes there by a way of its own. */
  const ask = async (page) => {
    await method(page, 'key_touch').getByRole('button', { name: /^Ask/ }).click();
    const number = await method(page, 'key_touch').locator('[data-number]').innerText();
    await until('the workstation has the question', isAsked);
    return number;
  };
  const answer = (input, what = 'answer', whose = ['--user', caller().login]) =>
    run(stack.program('keyferry'), ['help-desk', what, ...(what === 'answer' ? ['--stdin'] : []), ...whose, '--socket', stack.agentSocket], { input });
  /** The form's fields as the page has them, to be sent once more outside of it. */
  const fieldsOf = (page, action) => page.locator(`form[action$="/${action}"]`).first().evaluate((form) => Object.fromEntries(new FormData(form)));
  const sender = async (own, verb = 'POST') => {
    const api = new Api(stack.pageUrl, stack.publicCa);
    api.cookie = (await own.cookies()).filter((c) => c.name === '__Host-keyferry').map((c) => `${c.name}=${c.value}`).join('; ');
    return (url, form) => api.request(verb, url, { form, headers: { Accept: 'text/html' } });
  };

  return [
    () => test('help desk: a caller is found, verified by mail and number, and gets a new password on the key', () => asAgent(async (page) => {
      const before = (await changes()).length;
      await page.getByRole('link', { name: 'Help desk', exact: true }).click();
      await page.getByRole('heading', { name: 'Who is calling?' }).waitFor();
      await look(page, 'help desk', 'empty');
      await page.getByRole('searchbox').fill(caller().employee_id);  // results come while typing
      await page.getByRole('link', { name: caller().display_name }).waitFor();
      await look(page, 'help desk with results', 'found');
      await page.getByRole('link', { name: caller().display_name }).click();
      await page.getByLabel('Ticket number').fill('no blanks!');
      await page.getByLabel('Reason').fill('e2e: forgot it');
      await page.getByRole('button', { name: 'Begin' }).click();
      await page.getByRole('alert').waitFor();
      await look(page, 'a bad ticket number', 'bad-ticket');
      await page.getByLabel('Ticket number').fill('E2E-1');
      await page.getByRole('button', { name: 'Begin' }).click();
      await page.getByRole('button', { name: 'Go on to verification' }).waitFor();
      await look(page, 'choice of the process', 'process');
      await choose(page, 'New password to the key');
      await look(page, 'verification', 'verify');

      const mails = stack.mail.mails.length;
      await page.getByRole('button', { name: 'Send the code' }).click();
      const mail = await until('the code is mailed', async () => stack.mail.mails.slice(mails).find((one) => /^Subject: Your code/m.test(one.content)));
      const text = textOf(mail), code = /([0-9]{4}) ([0-9]{4})/.exec(text);
      assert(mail.to[0].startsWith(`${caller().login}@`) && code && text.includes(caller().login), `the mail is ${text}`);
      assert(/Liam/.test(text), 'the mail does not name the agent');
      await page.getByLabel('Code that the caller reads out').waitFor();
      assert(!(await page.content()).includes(code[1] + code[2]) && !(await page.content()).includes(code[0]), 'the agent sees the code');
      await page.getByLabel('Code that the caller reads out').fill(code[0]);
      await method(page, 'mail_code').getByRole('button', { name: 'Check' }).click();
      await method(page, 'mail_code').getByText('Passed').waitFor();
      assert(!(await page.content()).includes(caller().employee_id), 'the page has what the caller has to know');
      await page.getByLabel('Employee number').fill('wrong');
      await method(page, 'personal_data').getByRole('button', { name: 'Check' }).click();
      await method(page, 'personal_data').getByRole('alert').waitFor();
      await method(page, 'personal_data').getByText('2 attempts left').waitFor();
      await look(page, 'a wrong answer', 'wrong');
      await page.getByLabel('Employee number').fill(caller().employee_id.toLowerCase());
      await method(page, 'personal_data').getByRole('button', { name: 'Check' }).click();
      await page.getByRole('heading', { name: 'The caller is verified' }).waitFor();
      assert((await changes()).length === before, 'something was changed before it was asked for');
      await look(page, 'verified', 'verified');
      await page.getByRole('button', { name: 'New password to the key' }).click();
      await page.getByRole('heading', { name: 'Carried out' }).waitFor();
      await look(page, 'carried out', 'acted');
      const mailed = stack.mail.mails.length;
      await page.getByRole('button', { name: 'Mail the caller what to do' }).click();
      await page.getByText('What to do was mailed').waitFor();
      assert(await page.getByRole('button', { name: 'Mail the caller what to do' }).count() === 0, 'it is mailed twice');
      const instructions = await until('what to do is mailed', async () => stack.mail.mails.slice(mailed).find((one) => /^Subject: Your new password: what to do/m.test(one.content)));
      assert(instructions.to[0].startsWith(`${caller().login}@`) && textOf(instructions).includes('Plug your security key in') && textOf(instructions).includes('E2E-1'), textOf(instructions));
      const [change] = await changes();
      assert(change.reason === 'E2E-1: e2e: forgot it' && change.ad_set !== 0, `the change is ${JSON.stringify(change)}`);
      await page.getByRole('button', { name: 'The caller knows' }).click();
      await page.getByRole('heading', { name: 'Done' }).waitFor();
      await look(page, 'done', 'done');
      assert((await changes()).length === before + 1, 'not one change');
      await until('the key has it', async () => (await changes())[0].state === 'done');
      const rows = await audited('E2E-1');
      const words = rows.map(({ action, outcome }) => `${action.slice(10)} ${outcome}`).reverse().join(', ');
      assert(words === 'open ok, process ok, code ok, verify ok, verify wrong, verify ok, verified ok, act ok, acted ok, instructions ok, done ok', words);
      assert(rows.every(({ actor }) => actor === agent().login), 'another actor');
      assert(!JSON.stringify(rows).includes(code[0]), 'the audit log has the code');
    })),

    () => test('help desk: three failed attempts block the request, and the page says what to do', () => asAgent(async (page) => {
      const before = (await changes()).length;
      await begin(page, 'E2E-2');
      await choose(page, 'New password to the key');
      for (let i = 0; i < 3; i += 1) {
        await page.getByLabel('Employee number').fill(`E${i}`);
        await clickThrough(page, method(page, 'personal_data').getByRole('button', { name: 'Check' }));
        await page.getByText('That was not right').or(page.getByRole('heading', { name: 'This request is blocked' })).first().waitFor();
      }
      await page.getByRole('heading', { name: 'This request is blocked' }).waitFor();
      assert(await page.locator('main form').count() === 0, 'there is something left to send');
      await look(page, 'blocked', 'blocked');
      assert((await audited('E2E-2'))[0].action === 'help_desk.blocked', 'not audited');
      assert((await changes()).length === before, 'a change was made');
    })),

    () => test('help desk: the caller proves by the touch of the key: number, PIN and touch at the workstation', () => asAgent(async (page) => {
      await begin(page, 'E2E-10');
      await choose(page, 'Unlock the account');
      const number = await ask(page);
      await look(page, 'a touch is waited for', 'touch');
      assert((await answer(`000\n${PIN}\n`, 'deny', ['--user', agent().login])).stderr.includes('asks you nothing'), 'another person is asked');
      const done = await answer(`${number}\n${PIN}\n`);
      assert(done.code === 0 && /Liam/.test(done.stdout) && done.stdout.includes('E2E-10') && done.stdout.includes('e2e: forgot it'), `answer: ${done.stdout}${done.stderr}`);
      assert(!(done.stdout + done.stderr).includes(PIN), 'the PIN is shown');
      await page.getByRole('heading', { name: 'The caller is verified' }).waitFor();  // by itself
      assert((await answer(`${number}\n${PIN}\n`)).code !== 0, 'it was answered twice');
      await page.getByRole('button', { name: 'Unlock the account' }).click();
      await page.getByRole('button', { name: 'The caller knows' }).click();
      await page.getByRole('heading', { name: 'Done' }).waitFor();
      const words = (await audited('E2E-10')).map(({ action, outcome, actor }) => `${action.slice(10)} ${outcome} ${actor}`).reverse();
      assert(words[2].startsWith('ask ok ') && /^verify ok workstation /.test(words[3]), words.join(', '));
      assert(!JSON.stringify(await audited('E2E-10')).includes(`"${number}"`), 'the audit log has the number');
    })),

    () => test('help desk: "this is not me" at the workstation reaches the agent at once', () => asAgent(async (page) => {
      await begin(page, 'E2E-11');
      await choose(page, 'Unlock the account');
      await ask(page);
      const done = await answer('', 'deny');
      assert(done.code === 0, `deny: ${done.stdout}${done.stderr}`);
      await page.getByText('The person at the workstation said: this is not me').waitFor();  // by itself
      await method(page, 'key_touch').getByText('2 attempts left').waitFor();
      await look(page, 'denied', 'denied');
      const [newest] = await audited('E2E-11');
      assert(newest.action === 'help_desk.verify' && newest.outcome === 'wrong' && /denied/.test(newest.detail), JSON.stringify(newest));
      await cancel(page);
    })),

    () => test('help desk: a pulled key, a wrong number and a cancelled request prove nothing', () => asAgent(async (page) => {
      await begin(page, 'E2E-12');
      await choose(page, 'Unlock the account');
      const number = await ask(page);
      await stack.keyControl('unplug');
      await stack.daemonSees(0);
      const pulled = await answer(`${number}\n${PIN}\n`);
      assert(pulled.code !== 0 && /plugged in/.test(pulled.stderr), `without a key: ${pulled.stdout}${pulled.stderr}`);
      await stack.keyControl('plug');
      await stack.daemonSees(1);
      const wrong = await answer(`${number === '123' ? '124' : '123'}\n${PIN}\n`);
      assert(wrong.code !== 0 && /did not take this proof/.test(wrong.stderr), `another number: ${wrong.stdout}${wrong.stderr}`);
      await method(page, 'key_touch').getByText('2 attempts left').waitFor();
      assert((await answer(`${number}\n${PIN}\n`)).stderr.includes('asks you nothing'), 'the question was not used up');
      await ask(page);
      await cancel(page);
      await until('the workstation hears of it', async () => (await answer('', 'deny')).stderr.includes('asks you nothing'));
    })),

    () => test('help desk: two tabs and double submits change once; the other is shown where it stands', () => asAgent(async (page, own) => {
      const before = (await changes()).length;
      await begin(page, 'E2E-3');
      await choose(page, 'New password to the key');
      const second = await own.newPage();
      await second.emulateMedia({ reducedMotion: 'reduce' });
      await second.addInitScript(() => { window.EventSource = class { addEventListener() {} close() {} }; });  // a tab that nobody keeps up to date
      await second.goto(page.url());
      await inPerson(page);
      await second.getByText('Company badge').click();
      await second.getByRole('button', { name: 'I have seen it' }).click();
      await second.getByRole('alert').getByText('has gone on meanwhile').waitFor();
      await second.getByRole('heading', { name: 'The caller is verified' }).waitFor();
      await look(second, 'gone on in another tab', 'other-tab');
      const fields = await fieldsOf(page, 'act');
      const send = await sender(own);
      const url = `${page.url()}/act`;
      const answers = await Promise.all([1, 2, 3].map(() => send(url, fields)));
      answers.push(await send(url, fields));
      const statuses = answers.map(({ status }) => status).sort().join(' ');
      assert(statuses === '303 409 409 409', statuses);
      assert((await changes()).length === before + 1, 'not one change');
      await page.reload();
      await page.getByRole('button', { name: 'The caller knows' }).click();
      await page.getByRole('heading', { name: 'Done' }).waitFor();
      await page.goBack();  // the back button
      await page.getByRole('heading', { name: 'Done' }).waitFor();
      assert((await changes()).length === before + 1, 'the back button changed something');
    })),

    () => test('help desk: another agent neither goes on nor begins anew; the agent finds the request again', () => asAgent(async (page, own) => {
      await begin(page, 'E2E-4');
      const url = page.url();
      const answer = await stack.api.request('GET', url, { headers: { Accept: 'text/html' } });  // the administrator
      assert(answer.status === 403 && /belongs to liam\.desk/.test(answer.body), `the administrator gets ${answer.status}`);
      const other = await stack.api.request('POST', '/help-desk/requests', { form: { csrf: stack.api.csrf, account: caller().id, reason: 'e2e', ticket: 'E2E-5' } });
      assert(other.status === 409 && /liam\.desk is serving this person/.test(other.body), `the administrator's request: ${other.status}`);
      await page.goto(`${stack.pageUrl}help-desk`);
      await page.getByRole('heading', { name: 'Your open requests' }).waitFor();
      await axe(page, 'own open requests');
      await page.getByRole('link', { name: caller().display_name }).click();
      await page.waitForURL(url);
      await cancel(page);
      await axe(page, 'cancelled');
      const self = await (await sender(own))(`${stack.pageUrl}help-desk/requests`, { csrf: await page.locator('input[name="csrf"]').first().inputValue(), account: agent().id, reason: 'e2e', ticket: 'E2E-6' });
      assert(self.status === 403 && /Nobody serves themselves/.test(self.body), `oneself: ${self.status}`);
    })),

    () => test('help desk: an agent sets no password past the flow, neither by page nor by form', () => asAgent(async (page, own) => {
      const before = (await changes()).length;
      await page.goto(`${stack.employeeUrl}/password`);
      await page.getByRole('alert').getByText('for verified callers only').waitFor();
      assert(await page.getByRole('button', { name: 'Save' }).count() === 0, 'there is a Save button');
      const csrf = await page.locator('input[name="csrf"]').first().inputValue();
      const { status } = await (await sender(own))(`${stack.employeeUrl}/password`, { csrf, once: 'past-the-flow-1', mode: 'generate', reason: 'e2e' });
      assert(status === 403, `the form was answered by ${status}`);
      assert((await changes()).length === before, 'a change was made');
    })),

    () => test('help desk: a request runs out of time while the server is away; nothing is changed', () => asAgent(async (page, own) => {
      const before = (await changes()).length;
      await begin(page, 'E2E-7');
      await choose(page, 'New password to the key');
      await inPerson(page);
      const send = await sender(own), url = `${page.url()}/act`, fields = await fieldsOf(page, 'act');
      await stack.services.server.stop();
      const file = path.join(stack.path('server', 'state'), 'keyferry.db');
      await must('/usr/bin/python3', ['-c', 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute("UPDATE help_desk_requests SET expires = 1 WHERE state = \'verified\'"); c.commit(); c.close()', file], { uid: UIDS.server });
      await stack.services.server.start();
      await until('the workstation is back', async () => (await stack.api.must('GET', '/api/v1/workstations')).workstations.some(({ connected }) => connected));
      // As the button would; the page itself may have learnt meanwhile that there is none any more.
      const { status } = await send(url, fields);
      assert([303, 409].includes(status), `it answered ${status}`);
      await page.goto(page.url());
      await page.getByRole('heading', { name: 'The time for this request is over' }).waitFor();
      await look(page, 'expired', 'expired');
      assert((await changes()).length === before, 'a change was made');
      assert((await audited('E2E-7'))[0].action === 'help_desk.expired', 'not audited');
    })),

    () => test('help desk: the directory goes away in mid-flow; the request is kept and goes on', () => asAgent(async (page) => {
      const other = stack.account('employee_without_key');
      await begin(page, 'E2E-8', other);
      await choose(page, 'Unlock the account');
      await must(path.join(ROOT, 'scripts/dc'), ['stop', stack.path('dc')]);
      await page.reload();
      await page.getByRole('heading', { name: 'Active Directory does not answer' }).waitFor();
      await look(page, 'directory down in mid-flow', 'directory-down');
      await must(path.join(ROOT, 'scripts/dc'), ['start', stack.path('dc')], { timeout: 60000 });
      await until('the directory answers', async () => { await page.reload(); return await page.getByRole('heading', { name: 'Active Directory does not answer' }).count() === 0; });
      await inPerson(page);
      await page.getByRole('button', { name: 'Unlock the account' }).click();
      await page.getByRole('heading', { name: 'Carried out' }).waitFor();
      await page.getByRole('button', { name: 'The caller knows' }).click();
      await page.getByRole('heading', { name: 'Done' }).waitFor();
    })),

    () => test('help desk: a password is read out once, must be changed, and is found nowhere afterwards', () => asAgent(async (page, own) => {
      await begin(page, 'E2E-10');
      await choose(page, 'New password, read to the caller');
      await inPerson(page);
      await page.getByText('You see it once on the page that follows').waitFor();
      await page.getByRole('button', { name: 'New password, read to the caller' }).click();
      await page.getByRole('heading', { name: 'Read this to the caller now' }).waitFor();
      const password = await page.locator('[data-password]').innerText();
      assert(/^\S{12,128}$/.test(password), 'there is no password');
      await look(page, 'a password that is read out', 'read-out');
      const seen = (await audited('E2E-10')).map(({ action, outcome }) => `${action} ${outcome}`);
      assert(seen[0] === 'help_desk.read_out ok', `the audit log has ${seen.join(', ')}`);
      const { state } = await stack.api.must('GET', `/api/v1/employees/${caller().id}`);
      assert(state.must_change, 'the directory does not ask for another password');
      assert((await changes())[0].must_change, 'the change does not say so');
      const address = page.url();
      const again = await (await sender(own, 'GET'))(address);
      assert(again.status === 405 && !again.body.includes(password), `its address answers ${again.status}`);
      await page.getByRole('link', { name: 'The caller has it' }).click();
      await page.getByRole('heading', { name: 'Carried out' }).waitFor();
      assert(!(await page.content()).includes(password), 'it is on the next page too');
      await page.goBack().catch(() => {});  // the browser may refuse to ask for a form's answer again
      const back = await until('the browser has decided', () => page.content().catch(() => null));
      assert(!back.includes(password), 'the back button shows it again');
      await page.goto(address.replace(/\/act$/, ''));
      await page.getByRole('heading', { name: 'Carried out' }).waitFor();
      await page.getByRole('button', { name: 'The caller knows' }).click();
      await page.getByRole('heading', { name: 'Done' }).waitFor();
      for (const folder of [stack.path('server', 'state'), stack.path('server'), stack.path('logs')]) {
        for (const name of fs.readdirSync(folder)) {
          const file = path.join(folder, name);
          if (fs.statSync(file).isFile()) assert(!fs.readFileSync(file).includes(password), `${name} has the password`);
        }
      }
      // As the tests that follow expect it.
      await stack.api.must('POST', `/api/v1/employees/${caller().id}/password`, { json: { generate: true, reason: 'e2e: after reading out' } });
      await until('the key has it', async () => (await changes())[0].state === 'done');
    })),

    () => test('help desk: the flow works without script, on a phone, in the dark', () => asAgent(async (page) => {
      await page.setViewportSize({ width: 390, height: 844 });
      await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
      await page.goto(`${stack.pageUrl}help-desk`);
      await page.getByRole('searchbox').fill('Anna');
      await page.getByRole('button', { name: 'Search' }).click();
      await page.getByRole('link', { name: stack.account('employee_without_key').display_name }).click();
      await page.getByLabel('Ticket number').fill('E2E-9');
      await page.getByLabel('Reason').fill('e2e: no script');
      await page.getByRole('button', { name: 'Begin' }).click();
      await choose(page, 'Unlock the account');
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert(overflow <= 0, `the page scrolls sideways by ${overflow} px`);
      await picture(page, 'help-desk-verify-phone');
      await page.getByText('+380 44 555').waitFor();  // the directory's number
      await page.getByRole('button', { name: 'The person answered' }).click();
      await page.getByRole('button', { name: 'Unlock the account' }).click();
      await page.getByRole('button', { name: 'The caller knows' }).click();
      await page.getByRole('heading', { name: 'Done' }).waitFor();
    }, { javaScriptEnabled: false })),
  ];
}
