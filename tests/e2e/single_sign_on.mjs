// Sign-in with Windows: Kerberos tickets of the real domain controller, by curl and by Chromium; what is no ticket, and a keytab that is out of date.
import fs from 'node:fs';
import path from 'node:path';
import { openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { must, run } from '../../scripts/lib/demo/processes.mjs';
import { UIDS } from '../../scripts/lib/demo/stack.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

const ACCOUNT = 'svc-keyferry-web', NAME = 'HTTP/localhost';

/** A stack whose pages have a name and a keytab in the domain. */
export const withSingleSignOn = (Base) => class extends Base {
  async startDirectory() {
    await super.startDirectory();
    if (fs.existsSync(this.keytab)) return;
    const sam = ['-H', this.dc.sam_ldb];
    await must('samba-tool', ['user', 'create', ACCOUNT, '--random-password', ...sam]);
    await must('ldbmodify', sam, { input: `dn: CN=${ACCOUNT},CN=Users,${this.dc.base_dn}\nchangetype: modify\nreplace: msDS-SupportedEncryptionTypes\nmsDS-SupportedEncryptionTypes: 24\n` });
    await must('samba-tool', ['spn', 'add', NAME, ACCOUNT, ...sam]);
    await this.exportKeytab();
  }

  get keytab() { return this.path('server', 'http.keytab'); }

  async exportKeytab() {
    fs.rmSync(this.keytab, { force: true });
    await must('samba-tool', ['domain', 'exportkeytab', this.keytab, `--principal=${NAME}`, '-s', this.dc.smb_conf]);
    fs.chmodSync(this.keytab, 0o600);
    fs.chownSync(this.keytab, UIDS.server, UIDS.server);
  }

  serverConfig() { return `${super.serverConfig()}\n[single_sign_on]\nkeytab = "${this.keytab}"\nservice = "${NAME}@${this.dc.realm}"\n`; }
};

export function singleSignOnTests({ stack, test, axe, picture, admin }) {
  const address = () => `${stack.pageUrl}sign-in/negotiate`;
  // A computer of the domain: the controller's krb5.conf, but "localhost" stays what it is.
  const home = () => stack.path('kerberos');
  const env = (account) => ({ KRB5_CONFIG: path.join(home(), 'krb5.conf'), KRB5CCNAME: `FILE:${path.join(home(), account.login)}` });
  const signInToWindows = async (account) => {
    fs.mkdirSync(home(), { recursive: true });
    fs.writeFileSync(path.join(home(), 'krb5.conf'), fs.readFileSync(stack.dc.krb5_config, 'utf8').replace('[libdefaults]\n', '[libdefaults]\n  qualify_shortname = ""\n'));
    await must('kinit', [`${account.login}@${stack.dc.realm}`], { env: env(account), input: `${account.password}\n` });
  };
  /** One visit by curl as this account: status, headers, and the token that it sent. */
  const visit = async (account, ...more) => {
    const { stderr, stdout } = await run('curl', ['-sv', '--negotiate', '-u', ':', '--cacert', stack.publicCa, '-o', '-', '-w', '\n%{http_code}', ...more, address()], { env: env(account) });
    return { status: Number(stdout.split('\n').at(-1)), text: stdout, headers: stderr.split('\n').filter((line) => line.startsWith('< ')).join('\n'), token: /> Authorization: (Negotiate \S+)/.exec(stderr)?.[1] };
  };
  const show = (authorization) => new Api(stack.pageUrl, stack.publicCa).request('GET', address(), { headers: { Authorization: authorization } });
  const lastAudit = async (action) => (await stack.api.must('GET', `/api/v1/audit?action=${action}&limit=1`)).rows[0];
  const look = async (page, name) => {
    await axe(page, name);
    await picture(page, `single-sign-on-${name}`);
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 390, height: 844 });
    await axe(page, `${name}, dark, 390 px`);
    await picture(page, `single-sign-on-${name}-dark`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert(overflow <= 0, `${name} scrolls sideways by ${overflow} px on a phone`);
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.emulateMedia({ colorScheme: 'light' });
  };
  let used = '';

  return [
    () => test('single sign-on: without a ticket the page says so and leads back to the form', async () => {
      for (const javaScriptEnabled of [true, false]) {
        const own = await openBrowser(stack, { javaScriptEnabled });
        try {
          const page = await own.newPage();
          await page.goto(`${stack.pageUrl}sign-in?next=%2Fkeys`);
          if (javaScriptEnabled) await look(page, 'form');
          await page.getByRole('link', { name: 'Sign in with Windows' }).click();
          await page.getByText('Your browser sent no Windows ticket').waitFor();
          if (javaScriptEnabled) await look(page, 'no-ticket');
          await page.getByRole('link', { name: 'Sign in with your password' }).click();
          await page.getByLabel('User name').waitFor();
          assert(new URL(page.url()).searchParams.get('next') === '/keys', page.url());
        } finally {
          await own.close();
        }
      }
    }),
    () => test('single sign-on: the ticket of a computer of the domain stands for the password and the server proves itself; it works once', async () => {
      await signInToWindows(admin);
      const first = await visit(admin);
      assert(first.status === 303 && /< Location: \/sign-in\/code/i.test(first.headers), `${first.status} ${first.headers}`);
      assert(/< WWW-Authenticate: Negotiate [A-Za-z0-9+/=]{40,}/i.test(first.headers), 'the server gave no answer to the ticket');
      const row = await lastAudit('signin.ticket');
      assert(row.actor === admin.login && row.outcome === 'ok' && row.detail.includes(`${admin.login}@${stack.dc.realm}`), JSON.stringify(row));
      used = first.token;
      const again = await show(used);
      assert(again.status === 403 && !again.headers['set-cookie'], `the same ticket once more: ${again.status}`);
      assert((await lastAudit('signin.ticket')).outcome === 'wrong', 'the second use is not in the audit log');
    }),
    () => test('single sign-on: NTLM, damaged tokens, and people who may not are refused in words', async (page) => {
      const ntlm = Buffer.from('NTLMSSP\0\x01\0\0\0\x07\x82\x08\xa2\0\0\0\0\0\0\0\0', 'latin1').toString('base64');
      const refused = await show(`Negotiate ${ntlm}`);
      assert(refused.status === 403 && refused.body.includes('NTLM'), `${refused.status} ${String(refused.body).slice(0, 200)}`);
      for (const bad of ['AAAA', used.slice(10, 400), `${used.slice(10, -8)}AAAAAAAA`]) {
        const { status } = await show(`Negotiate ${bad}`);
        assert(status === 403 || status === 400, `${bad.slice(0, 20)}… got ${status}`);
      }
      // Without a role a ticket opens what a password would: one's own page, as self_service is on here.
      const employee = stack.account('employee');
      await signInToWindows(employee);
      const outside = await visit(employee);
      assert(outside.status === 303 && /^< location: \/me\s*$/im.test(outside.headers), `without a role: ${outside.status} ${outside.headers}`);
      // Disabled after its ticket was made, which is good for hours.
      const agent = stack.account('auditor');
      await signInToWindows(agent);
      assert((await visit(agent)).status === 303, 'the ticket is not good to begin with');
      await must('samba-tool', ['user', 'disable', agent.login, '-H', stack.dc.sam_ldb]);
      const disabled = await visit(agent);
      await must('samba-tool', ['user', 'enable', agent.login, '-H', stack.dc.sam_ldb]);
      assert(disabled.status === 403 && (await lastAudit('signin.ticket')).outcome === 'disabled', `disabled: ${disabled.status}`);
      // Its page, as a browser shows it.
      await page.setExtraHTTPHeaders({ Authorization: `Negotiate ${ntlm}` });
      await page.goto(address());
      await page.getByRole('alert').filter({ hasText: 'NTLM' }).waitFor();
      await look(page, 'refused');
    }),
    () => test('single sign-on: in Chromium a click, then the second factor, and one is where one was', async () => {
      await signInToWindows(admin);
      // On Linux Chromium's network process may talk to Kerberos from the start on that follows the first such challenge it met.
      const own = await openBrowser(stack, { args: ['--auth-server-allowlist=localhost'], env: env(admin), localState: { net: { received_http_auth_negotiate_headers: true } } });
      try {
        const page = await own.newPage();
        await page.goto(`${stack.pageUrl}keys`);
        await page.getByRole('link', { name: 'Sign in with Windows' }).click();
        await page.getByLabel('Code', { exact: true }).fill(await stack.authenticators.next(admin.login));
        await page.getByRole('button', { name: 'Continue' }).click();
        await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor();
        const [cookie] = (await own.cookies()).filter(({ name }) => name === '__Host-keyferry');
        assert(cookie?.secure && cookie.httpOnly && cookie.sameSite === 'Strict', 'the session cookie is not strict');
      } finally {
        await own.close();
      }
    }),
    () => test('single sign-on: a keytab that is out of date is found by the check-up, and a new one needs no restart', async () => {
      const finding = async () => {
        const { stdout } = await run(stack.program('keyferry-server'), ['doctor', '--json', '--config', stack.path('server', 'keyferry-server.toml')], { uid: UIDS.server, env: stack.env, timeout: 60000 });
        return JSON.parse(stdout).findings.find(({ what }) => what.startsWith('sign-in with Windows'));
      };
      const good = await finding();
      assert(good.status === 'ok', JSON.stringify(good));
      await must('samba-tool', ['user', 'setpassword', ACCOUNT, '--random-password', '-H', stack.dc.sam_ldb]);
      const old = await finding();
      assert(old.status === 'problem' && old.cause.includes('version'), JSON.stringify(old));
      await signInToWindows(admin);
      assert((await visit(admin)).status === 403, 'a ticket for a key that the keytab has not was taken');
      await stack.exportKeytab();
      assert((await visit(admin)).status === 303, 'the new keytab is not taken up');
      fs.chmodSync(stack.keytab, 0o644);
      const open = await finding();
      fs.chmodSync(stack.keytab, 0o600);
      assert(open.status === 'problem' && open.cause.includes('chmod 600'), JSON.stringify(open));
    }),
    () => test('single sign-on: no log holds a ticket', async () => {
      for (const file of [stack.path('server', 'keyferry-server.log'), stack.path('logs', 'server.log')]) {
        const text = fs.readFileSync(file, 'utf8');
        assert(!text.includes(used.slice(10, 60)) && !/Negotiate [A-Za-z0-9+/]{20}/.test(text), `${file} holds a ticket`);
      }
      assert(used.length > 500, 'there was no ticket to look for');
    }),
  ];
}
