// The help desk's verifications by others than agent and workstation: the word of the caller's manager, by the link of a real mail, and codes by SMS through a gateway.
import crypto from 'node:crypto';
import http from 'node:http';
import fs from 'node:fs';
import path from 'node:path';
import { asStranger, clickThrough } from '../../scripts/lib/demo/browser.mjs';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { must } from '../../scripts/lib/demo/processes.mjs';
import { UIDS, until } from '../../scripts/lib/demo/stack.mjs';
import { textOf } from '../support/smtp/mail_server.mjs';
import { deskOf } from './help_desk.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

/** A gateway on this machine: keeps what it is to send, or answers `this.status`. */
class Gateway {
  constructor() { this.posts = []; this.status = 202; this.secret = crypto.randomBytes(16).toString('hex'); this.token = crypto.randomBytes(8).toString('hex'); }

  async start() {
    this.server = http.createServer((request, response) => {
      const parts = [];
      request.on('data', (part) => parts.push(part));
      request.on('end', () => {
        this.posts.push({ method: request.method, path: request.url, headers: request.headers, body: Buffer.concat(parts).toString('utf8') });
        response.writeHead(this.status, { Connection: 'close' }).end();
      });
    });
    await new Promise((resolve) => { this.server.listen(0, '127.0.0.1', resolve); });
    this.url = `http://127.0.0.1:${this.server.address().port}/send?token=${this.token}`;
  }

  async stop() { this.server.closeAllConnections(); await new Promise((resolve) => { this.server.close(resolve); }); }
}

/** A stack whose server sends codes by `this.gateway`. */
export const withGateway = (Base) => class extends Base {
  constructor(options) { super(options); this.gateway = new Gateway(); }

  async start() { await this.gateway.start(); await super.start(); }

  async stop() { await super.stop(); await this.gateway.stop(); }

  serverConfig() {
    this.secret(this.path('server', 'sms-secret'), `Bearer ${this.gateway.secret}\n`, UIDS.server);
    return `${super.serverConfig()}\n[sms]\nurl = "${this.gateway.url}"\nheader = "Authorization"\nsecret_file = "sms-secret"\ncountry_code = "380"\n`
      + 'body = \'{"to":["%number%"],"body":"%text%"}\'\n';
  }
};

export function methodTests({ stack, test, signIn, axe, picture, admin }) {
  const { agent, caller, audited, asAgent, begin, choose, look, method, cancel } = deskOf({ stack, signIn, axe, picture });
  const sam = () => ['-H', path.join(stack.path('dc'), 'private', 'sam.ldb')];
  const manager = stack.dc.people.find(({ login }) => login === 'zofia.wozniak');
  const dn = async (login) => /^dn: (.+)$/m.exec(await must('ldbsearch', [...sam(), `(sAMAccountName=${login})`, 'dn']))[1];
  const setManager = async (whom) => must('ldbmodify', sam(), {
    input: `dn: ${await dn(caller().login)}\nchangetype: modify\n${whom ? `replace: manager\nmanager: ${await dn(whom)}` : 'delete: manager'}\n` });
  const setMobile = async (number) => must('ldbmodify', sam(), {
    input: `dn: ${await dn(caller().login)}\nchangetype: modify\n${number ? `replace: mobile\nmobile: ${number}` : 'delete: mobile'}\n` });
  const bySms = (page) => method(page, 'sms_code');
  const byManager = (page) => method(page, 'manager');
  /** Asks the manager; their link, once the mail is there, and the number for the caller. */
  const askManager = async (page) => {
    const mails = stack.mail.mails.length;
    await clickThrough(page, byManager(page).getByRole('button', { name: /^(Ask the manager|Mail another)/ }));  // the number is a new one each time
    const mail = await until('the manager is asked', () => stack.mail.mails.slice(mails).find((one) => one.to[0].startsWith(`${manager.login}@`) && /caller\?t=/.test(textOf(one))));
    const text = textOf(mail), link = new RegExp(`${stack.pageUrl}caller\\?t=[A-Za-z0-9_-]{64}`).exec(text)?.[0];
    assert(link, `no link in ${text}`);
    await byManager(page).locator('[data-number]').waitFor();
    const number = await byManager(page).locator('[data-number]').innerText();
    assert(/^[0-9]{3} [0-9]{3}$/.test(number), `the number is ${number}`);
    assert(!text.includes(number) && !text.includes(number.replace(' ', '')), 'the mail has the number');
    return { link, number, text };
  };

  return [
    () => test('help desk methods: the manager gives their word by the link and the number; the agent sees it by itself', () => asAgent(async (page) => {
      await begin(page, 'E2E-20');
      await choose(page, 'Unlock the account');
      await byManager(page).getByText('names no manager').waitFor();
      await setManager(manager.login);
      await page.reload();
      await byManager(page).getByText(manager.login).waitFor();
      const first = await askManager(page);
      const { link, number, text } = await askManager(page);
      for (const part of [caller().login, 'E2E-20', 'e2e: forgot it', 'unlock', 'Liam']) assert(text.includes(part), `no "${part}" in ${text}`);
      await look(page, 'the manager is asked', 'manager-asked');
      for (let i = 0; i < 3; i += 1) {  // a scanner, a preview
        const answer = await new Api(stack.pageUrl, stack.publicCa).request('GET', link);
        assert(answer.status === 200, `the link answers ${answer.status}`);
      }
      await asStranger(stack, async (plain) => {
        await plain.goto(first.link);  // another one was mailed since
        await plain.getByText('This link is not good, or not any more').waitFor();
        await look(plain, 'a dead link of a manager', 'manager-dead');
        const dead = (await plain.locator('main').innerText()).trim();
        await plain.goto(`${stack.pageUrl}caller?t=${'A'.repeat(64)}`);
        assert((await plain.locator('main').innerText()).trim() === dead, 'a made up link gets another page');
        await plain.goto(link);
        await plain.getByRole('heading', { name: 'Does this person call the help desk?' }).waitFor();
        await plain.getByText('e2e: forgot it').waitFor();
        await look(plain, 'the page for the manager', 'manager-link');
        await plain.getByLabel('Number that the person tells you').fill('12');
        await plain.getByRole('button', { name: 'I have spoken with them, it is them' }).click();
        await plain.getByRole('alert').getByText('The number has six digits').waitFor();
        await look(plain, 'a number that is none', 'manager-number');
        await plain.getByLabel('Number that the person tells you').fill(number);
        await plain.getByRole('button', { name: 'I have spoken with them, it is them' }).click();
        await plain.getByRole('heading', { name: 'Thank you' }).waitFor();
        await look(plain, 'the manager has answered', 'manager-done');
        await plain.goto(link);
        await plain.getByText('This link is not good, or not any more').waitFor();
        assert(await plain.locator('form[action="/caller"]').count() === 0, 'a used link has a button');
      });
      await byManager(page).getByText('Passed').waitFor();  // by itself
      await page.getByText('1 of 2 points').waitFor();  // a mailbox alone is not enough
      await page.getByLabel('Employee number').fill(caller().employee_id);
      await method(page, 'personal_data').getByRole('button', { name: 'Check' }).click();
      await page.getByRole('heading', { name: 'The caller is verified' }).waitFor();
      await cancel(page);
      const rows = (await audited('E2E-20')).reverse();
      assert(rows[2].action === 'help_desk.ask' && rows[2].detail.includes(manager.login), JSON.stringify(rows[2]));
      const word = rows.find(({ action, outcome }) => action === 'help_desk.verify' && outcome === 'ok');
      assert(word.actor === manager.login && word.detail.includes('the word of the manager'), JSON.stringify(word));
      const all = JSON.stringify(rows);
      assert(!all.includes(number.replace(' ', '')) && !all.includes(link.slice(-60)), 'the audit log has the number or the link');
    })),

    () => test('help desk methods: a manager who knows nothing of it ends the request, and the administrators are told', () => asAgent(async (page) => {
      await begin(page, 'E2E-21');
      await choose(page, 'New password to the key');
      const { link, number } = await askManager(page);
      const mails = stack.mail.mails.length;
      await asStranger(stack, async (plain) => {  // without script, on a phone
        await plain.setViewportSize({ width: 390, height: 844 });
        await plain.goto(link);
        await plain.getByRole('button', { name: 'I know nothing of this' }).click();
        await plain.getByRole('heading', { name: 'It is stopped' }).waitFor();
        await picture(plain, 'help-desk-manager-denied-phone');
      }, { javaScriptEnabled: false });
      await page.getByRole('heading', { name: 'This request is blocked' }).waitFor();  // by itself
      await page.getByText('The manager says that they know nothing of this call').waitFor();
      await look(page, 'the manager knows nothing', 'manager-denied');
      const told = await until('the administrators are told', () => stack.mail.mails.slice(mails).find((one) => one.to[0].startsWith(`${admin.login}@`) && textOf(one).includes('E2E-21')));
      assert(textOf(told).includes(manager.login) && textOf(told).includes(agent().login), textOf(told));
      const late = await new Api(stack.pageUrl, stack.publicCa).request('POST', '/caller', { form: { t: new URL(link).searchParams.get('t'), answer: 'known', number }, headers: { Accept: 'text/html' } });
      assert(late.status === 404, `a second answer: ${late.status}`);
      assert((await audited('E2E-21'))[0].action === 'help_desk.blocked', 'not audited');
      await setManager(null);
    })),

    () => test('help desk methods: a code by SMS goes to the directory\'s number by the gateway, and nobody else sees it', () => asAgent(async (page) => {
      await begin(page, 'E2E-22');
      await choose(page, 'Unlock the account');
      await bySms(page).getByText('no mobile number').waitFor();
      await setMobile('067 123-45 42 ext. 7');
      await page.reload();
      await bySms(page).getByText('none that a code could go to').waitFor();
      await look(page, 'a number that cannot be dialled', 'sms-unusable');
      await setMobile('067 123-45 42');
      await page.reload();
      await bySms(page).getByText('••• 42').waitFor();
      stack.gateway.status = 503;
      await bySms(page).getByRole('button', { name: 'Send the code' }).click();
      await bySms(page).getByRole('alert').getByText('answered with status 503').waitFor();
      await look(page, 'the gateway does not take it', 'sms-down');
      stack.gateway.status = 202;
      await bySms(page).getByRole('button', { name: 'Send the code' }).click();
      await bySms(page).getByLabel('Code that the caller reads out').waitFor();
      const { method: verb, headers, body } = stack.gateway.posts.at(-1);
      const sent = JSON.parse(body), code = /([0-9]{4}) ([0-9]{4})/.exec(sent.body);
      assert(verb === 'POST' && headers.authorization === `Bearer ${stack.gateway.secret}` && sent.to[0] === '+380671234542', JSON.stringify({ headers, sent }));
      assert(code && /Liam/.test(sent.body), `the message is ${sent.body}`);
      const content = await page.content();
      for (const hidden of [code[0], code[1] + code[2], '671234542', '123-45']) assert(!content.includes(hidden), `the agent sees ${hidden}`);
      await look(page, 'a code went by SMS', 'sms-sent');
      await bySms(page).getByLabel('Code that the caller reads out').fill(code[0] === '0000 0000' ? '00000001' : '00000000');
      await bySms(page).getByRole('button', { name: 'Check' }).click();
      await bySms(page).getByRole('alert').waitFor();
      await bySms(page).getByLabel('Code that the caller reads out').fill(code[0]);
      await bySms(page).getByRole('button', { name: 'Check' }).click();
      await bySms(page).getByText('Passed').waitFor();
      await page.getByText('1 of 2 points').waitFor();
      await cancel(page);
      const rows = JSON.stringify(await audited('E2E-22'));
      assert(rows.includes('by SMS to the number ••• 42'), rows);
      for (const folder of [stack.path('server', 'state'), stack.path('server'), stack.path('logs')]) {
        for (const name of fs.readdirSync(folder)) {
          const file = path.join(folder, name);
          if (!fs.statSync(file).isFile() || name === 'sms-secret' || name.endsWith('.toml')) continue;
          const text = fs.readFileSync(file);
          for (const hidden of [code[0], code[1] + code[2], '671234542', stack.gateway.secret, stack.gateway.token]) {
            assert(!text.includes(hidden), `${name} has ${hidden}`);
          }
        }
      }
      await setMobile(null);
    })),

    () => test('help desk methods: with "confirm" the agent sees what the directory has for one answer, without script, and nothing else has it', async () => {
      const config = stack.path('server', 'keyferry-server.toml'), before = fs.readFileSync(config, 'utf8');
      const use = async (text) => {
        await stack.services.server.stop();
        stack.secret(config, text, UIDS.server);
        await stack.services.server.start();
      };
      let address = '';
      const value = caller().employee_id, byWord = (page) => method(page, 'personal_data');
      const show = async (page) => {
        await byWord(page).getByRole('button', { name: 'Show what the directory has' }).click();
        await page.getByRole('heading', { name: 'Is this what the caller said?' }).waitFor();
        assert((await page.locator('main dl').innerText()).includes(value), 'it is not shown');
      };
      await use(before.replace('[help_desk]\n', '[help_desk]\npersonal_data_mode = "confirm"\n'));
      try {
        await asAgent(async (page) => {
          await begin(page, 'E2E-23');
          await choose(page, 'Unlock the account');
          assert(!(await page.content()).includes(value), 'it is shown before it is asked for');
          await look(page, 'personal data to confirm', 'compare-offer');
          await show(page);
          assert(!page.url().includes(value), 'the address has it');
          await look(page, 'personal data shown', 'compare');
          await page.getByRole('button', { name: 'It does not match' }).click();
          await byWord(page).getByText('2 attempts left').waitFor();
          assert(!(await page.content()).includes(value), 'the next page has it');
          address = page.url().replace(/\/verify$/, '');
        });
        await asAgent(async (page) => {
          await page.goto(address);
          await show(page);
          await page.getByRole('button', { name: 'All of it matches' }).click();
          await byWord(page).getByText('Passed').waitFor();
          await page.getByText('1 of 2 points').waitFor();  // never alone
          await cancel(page);
        }, { javaScriptEnabled: false });
        const rows = (await audited('E2E-23')).reverse();
        const words = rows.map(({ action, outcome }) => `${action.slice(10)} ${outcome}`).join(', ');
        assert(words === 'open ok, process ok, shown ok, verify wrong, shown ok, verify ok, cancel ok', words);
        assert(rows.every(({ actor }) => actor === agent().login) && !JSON.stringify(rows).includes(value), JSON.stringify(rows));
        assert(!fs.readFileSync(path.join(stack.path('logs'), 'server.log'), 'utf8').includes(value), 'the log has it');
      } finally {
        await use(before);
      }
    }),
  ];
}
