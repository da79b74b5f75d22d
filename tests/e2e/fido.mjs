// FIDO2 keys as second factor: Chromium with virtual authenticators (CDP), and a key in this process that lies.
import { clickThrough, openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { ageProofs } from './factor.mjs';
import { byTwo } from './second_administrator.mjs';
import { SoftKey } from './soft_key.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

export function fidoTests({ stack, test, signIn, axe, picture, admin }) {
  const person = stack.account('auditor');  // whose second factor was reset by the tests before
  let browser = null, page = null, devtools = null, first = '', recovery = [];

  const plug = async () => (await devtools.send('WebAuthn.addVirtualAuthenticator', { options: { protocol: 'ctap2', transport: 'usb', hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } })).authenticatorId;
  const unplug = (authenticatorId) => devtools.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId });
  const password = async (at = page) => {
    await at.goto(stack.pageUrl);
    await at.getByLabel('User name').fill(person.login);
    await at.getByLabel('Password').fill(person.password);
    await at.getByRole('button', { name: 'Sign in' }).click();
  };
  const isIn = () => page.getByRole('heading', { name: 'Employees' }).waitFor();
  const signOut = () => clickThrough(page, page.getByRole('button', { name: 'Sign out' }));
  const keys = () => page.getByRole('region', { name: 'Your security keys (FIDO2)' });
  const listed = (name) => keys().locator('strong').filter({ hasText: name });
  const narrow = async (what) => {
    await page.setViewportSize({ width: 390, height: 900 });
    await page.emulateMedia({ colorScheme: 'dark' });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert(overflow <= 0, `${what} scrolls sideways by ${overflow} px`);
    await axe(page, `${what} on a phone`);
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.emulateMedia({ colorScheme: 'light' });
  };
  const lastAudit = async (action) => (await stack.api.must('GET', `/api/v1/audit?action=${action}&limit=1`)).rows[0];

  return [
    () => test('FIDO2: a security key is the second factor from the first sign-in on; recovery codes are shown once', async () => {
      browser = await openBrowser(stack);
      page = await browser.newPage();
      devtools = await browser.newCDPSession(page);
      await devtools.send('WebAuthn.enable');
      first = await plug();
      await password();
      await page.getByRole('heading', { name: 'Or use a security key (FIDO2)' }).waitFor();
      await axe(page, 'set-up with a security key');
      await picture(page, 'fido-set-up');
      await narrow('set-up with a security key');
      await page.getByLabel('Name of the key').fill('blue one');
      await page.getByRole('button', { name: 'Touch the key now' }).click();
      await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor();
      recovery = await page.locator('[data-recovery] li').allInnerTexts();
      assert(recovery.length === 10, `${recovery.length} recovery codes`);
      await page.getByRole('link', { name: 'I have kept them' }).click();
      await isIn();
      const { credentials } = await devtools.send('WebAuthn.getCredentials', { authenticatorId: first });
      assert(credentials.length === 1 && credentials[0].rpId === 'localhost' && !credentials[0].isResidentCredential, JSON.stringify(credentials));
      await signOut();
    }),
    () => test('FIDO2: the key signs in; an absent key is said so, and a recovery code does without', async () => {
      await password();
      const use = page.getByRole('button', { name: 'Use your security key' });
      await use.waitFor();
      await axe(page, 'the code or the key');
      await picture(page, 'fido-sign-in');
      await narrow('the code or the key');
      await use.click();
      await isIn();
      const row = await lastAudit('signin');
      assert(row.detail === 'With the security key blue one.', row.detail);
      await signOut();
      const { credentials: [kept] } = await devtools.send('WebAuthn.getCredentials', { authenticatorId: first });
      await devtools.send('WebAuthn.clearCredentials', { authenticatorId: first });
      await password();
      await use.click();
      await page.getByRole('alert').filter({ hasText: 'The key gave no answer' }).waitFor();
      await axe(page, 'no answer of the key');
      await page.getByLabel('Code', { exact: true }).fill(recovery[0]);
      await page.getByRole('button', { name: 'Continue' }).click();
      await isIn();
      await devtools.send('WebAuthn.addCredential', { authenticatorId: first, credential: kept });
    }),
    () => test('FIDO2: a guarded form goes on after the key was touched', async () => {
      await ageProofs(stack, person.login);
      await page.goto(`${stack.pageUrl}sessions`);
      await page.getByRole('button', { name: 'Add a security key' }).click();
      await page.getByRole('heading', { name: 'Your code, once more' }).waitFor();
      await axe(page, 'step-up with a key');
      await picture(page, 'fido-step-up');
      await page.getByRole('button', { name: 'Use your security key' }).click();
      await page.getByRole('heading', { name: 'Add a security key' }).waitFor();
      await axe(page, 'a further security key');
      await picture(page, 'fido-new');
      await narrow('a further security key');
      // The key that is registered already says so itself.
      await page.getByRole('button', { name: 'Touch the key now' }).click();
      await page.getByRole('alert').filter({ hasText: 'registered already' }).waitFor();
      await unplug(first);
      const second = await plug();
      await page.getByLabel('Name of the key').fill('green <two>');
      await page.getByLabel('Name of the key').press('Enter');
      await listed('green <two>').waitFor();
      await axe(page, 'two security keys');
      await picture(page, 'fido-keys');
      await narrow('two security keys');
      await signOut();
      await password();
      await page.getByRole('button', { name: 'Use your security key' }).click();
      await isIn();
      assert((await lastAudit('signin')).detail === 'With the security key green <two>.', 'signed in with another key');
      first = second;
    }),
    () => test('FIDO2: keys are renamed and removed, but for the last one', async () => {
      await page.goto(`${stack.pageUrl}sessions`);
      const open = (name) => keys().locator('summary').filter({ hasText: name }).click();
      await open('Rename blue one');
      await keys().getByLabel('New name').first().fill('drawer');
      await page.getByRole('button', { name: 'Rename blue one' }).click();
      await listed('drawer').waitFor();
      await open('Remove drawer');
      await axe(page, 'removing a security key');
      await clickThrough(page, page.getByRole('button', { name: 'Remove now drawer' }));
      await listed('green <two>').waitFor();
      assert(await listed('drawer').count() === 0, 'the key is still there');
      await open('Remove green');
      await page.getByRole('button', { name: 'Remove now green' }).click();
      await page.getByText('It is your last security key').waitFor();
      await axe(page, 'the last security key');
    }),
    () => test('FIDO2: an answer works once', async () => {
      await page.goto(`${stack.pageUrl}sessions`);
      const answers = await page.evaluate(async () => {
        let csrf = document.querySelector('input[name="csrf"]').value;
        const post = async (path, body) => {
          const answer = await fetch(`/api/v1/session/step-up${path}`, { method: 'POST', headers: { 'X-Keyferry-CSRF': csrf, ...(body ? { 'Content-Type': 'application/x-www-form-urlencoded' } : {}) }, body });
          return { status: answer.status, body: await answer.json() };
        };
        const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
        const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer ?? []))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
        const { body: options } = await post('/challenge');
        const { rawId, response } = await navigator.credentials.get({ publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: options.allowCredentials.map((one) => ({ ...one, id: bytes(one.id) })) } });
        const form = () => new URLSearchParams({ assertion: [rawId, response.clientDataJSON, response.authenticatorData, response.signature, response.userHandle].map(text).join('.') });
        const good = await post('', form());
        csrf = good.body.csrf;
        const again = await post('', form());
        await post('/challenge');
        return [good, again, await post('', form())];
      });
      assert(answers[0].status === 201, JSON.stringify(answers[0]));
      for (const { status, body } of answers.slice(1)) assert(status === 403 && body.code === 'wrong_code', JSON.stringify(body));
    }),
    () => test('FIDO2: without script the page says so, and codes work', async () => {
      const plain = await openBrowser(stack, { javaScriptEnabled: false });
      try {
        const theirs = await plain.newPage();
        await password(theirs);
        await theirs.getByText('Security keys need JavaScript').waitFor();
        assert(!await theirs.getByRole('button', { name: 'Use your security key' }).isVisible(), 'there is a button that does nothing');
        await theirs.getByLabel('Code', { exact: true }).fill(recovery[1]);
        await theirs.getByRole('button', { name: 'Continue' }).click();
        await theirs.getByRole('heading', { name: 'Employees' }).waitFor();
      } finally {
        await plain.close();
      }
    }),
    () => test('FIDO2: an app stands beside the key, and its codes sign in too', async () => {
      await page.goto(`${stack.pageUrl}sessions`);
      await page.getByRole('link', { name: 'Set one up' }).click();
      await page.getByRole('button', { name: 'Begin' }).click();
      const secret = (await page.locator('[data-secret]').innerText()).replace(/ /g, '');
      const { codes: [before, now], confirmed } = stack.authenticators.first(secret);
      await page.getByLabel('The code that the app shows now').fill(before);
      await page.getByLabel('The code that follows it').fill(now);
      await page.getByRole('button', { name: 'Confirm' }).click();
      await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor();
      confirmed(person.login, await page.locator('[data-recovery] li').allInnerTexts());
      await page.getByRole('link', { name: 'I have kept them' }).click();
      await listed('green <two>').waitFor();
      await signOut();
      await password();
      await page.getByLabel('Code', { exact: true }).fill(await stack.authenticators.next(person.login));
      await page.getByRole('button', { name: 'Continue' }).click();
      await isIn();
    }),
    () => test('FIDO2: the API takes a key; another origin, another relying party and a counter that goes back are refused', async () => {
      const { api } = stack;
      const send = Object.getPrototypeOf(api).send.bind(api);
      const challenge = async () => (await api.must('POST', '/api/v1/session/step-up/challenge')).challenge;
      const prove = async (key) => send('POST', '/api/v1/session/step-up', { form: { assertion: key.assert(await challenge()) } });
      const key = new SoftKey(new URL(stack.pageUrl).origin);
      const begin = () => api.must('POST', '/api/v1/session/fido-keys/challenge');
      const add = async () => api.request('POST', '/api/v1/session/fido-keys', { json: { name: 'software', credential: key.create((await begin()).challenge), transports: ['usb'] } });
      const options = await begin();
      assert(options.rp.id === 'localhost' && options.attestation === 'none', JSON.stringify(options));
      key.origin = 'https://localhost';
      assert((await add()).status === 403, 'a key of another origin was added');
      key.origin = new URL(stack.pageUrl).origin;
      const added = await add();
      assert(added.status === 201 && added.body.name === 'software', JSON.stringify(added.body));
      assert((await add()).status === 409, 'the same key was added twice');
      const good = await prove(key);
      assert(good.status === 201, JSON.stringify(good.body));
      api.csrf = good.body.csrf;
      for (const [lie, truth, why] of [
        [() => { key.origin = 'https://evil.example'; }, () => { key.origin = new URL(stack.pageUrl).origin; }, /origin https:\/\/evil\.example/],
        [() => { key.relyingParty = 'evil.example'; }, () => { key.relyingParty = 'localhost'; }, /signature is wrong|relying party/],
        [() => { key.counter = 1; }, () => { key.counter = 99; }, /suspicion/],
      ]) {
        lie();
        const refused = await prove(key);
        assert(refused.status === 403 && refused.body.code === 'wrong_code', JSON.stringify(refused.body));
        assert(why.test((await lastAudit('session.step_up')).detail), (await lastAudit('session.step_up')).detail);
        truth();
      }
      const path = `/api/v1/session/fido-keys/${added.body.id}`;
      const list = async () => (await api.must('GET', '/api/v1/session/fido-keys')).fido_keys;
      assert((await list())[0].suspect > 0, 'the key is not under suspicion');
      assert(/may have been copied/.test((await lastAudit('factor.key_suspect')).detail), 'no word of it in the audit log');
      const none = await send('POST', '/api/v1/session/step-up/challenge');
      assert(none.status === 409, `a suspect key is asked for: ${none.status}`);
      await api.must('POST', path, { json: { name: 'suspect' } });
      assert((await list())[0].name === 'suspect', 'the name is the same');
    }),
    () => test('FIDO2: the page warns of a key that may have been copied, which is then removed', async (mine) => {
      await signIn(mine, admin);
      await mine.goto(`${stack.pageUrl}sessions`);
      await mine.getByRole('alert').filter({ hasText: 'may have been copied' }).waitFor();
      await axe(mine, 'a suspect security key');
      await picture(mine, 'fido-suspect');
      const { fido_keys: [{ id }] } = await stack.api.must('GET', '/api/v1/session/fido-keys');
      await stack.api.must('DELETE', `/api/v1/session/fido-keys/${id}`);
      await mine.reload();
      assert(await mine.getByText('may have been copied').count() === 0, 'it is still there');
    }),
    () => test('sessions by API: one\'s own and a person\'s, listed and ended', async () => {
      const { api } = stack;
      const half = new Api(stack.pageUrl, stack.publicCa);
      half.csrf = (await half.must('POST', '/api/v1/session', { form: { name: person.login, password: person.password } })).csrf;
      const { allowCredentials } = await half.must('POST', '/api/v1/session/code/challenge');
      assert(allowCredentials.length === 1, JSON.stringify(allowCredentials));
      const { sessions: own } = await api.must('GET', '/api/v1/sessions');
      assert(own.filter(({ current }) => current).length === 1 && own.every(({ login }) => login === admin.login), JSON.stringify(own));
      const theirs = `/api/v1/employees/${person.id}/sessions`;
      const { sessions: [one, ...more] } = await api.must('GET', theirs);
      assert(one.login === person.login && !one.current, JSON.stringify(one));
      await api.must('DELETE', `/api/v1/sessions/${one.id}`);
      assert((await api.must('GET', theirs)).sessions.length === more.length, 'the session is still there');
      await api.must('DELETE', theirs);
      assert((await api.must('GET', theirs)).sessions.length === 0, 'there are sessions left');
      await page.goto(`${stack.pageUrl}employees`);
      await page.getByLabel('User name').waitFor();
      await api.must('DELETE', '/api/v1/sessions');
      assert((await api.must('GET', '/api/v1/sessions')).sessions.length === 1, 'others of mine are left');
    }),
    () => test('FIDO2: an administrator\'s reset takes keys, app and recovery codes away', async (mine) => {
      await signIn(mine, admin);
      await mine.goto(`${stack.pageUrl}sessions`);
      await mine.getByText('Security keys: 1.').waitFor();
      await mine.getByText(`Reset ${person.login}`).click();
      await mine.getByRole('button', { name: `Reset now ${person.login}` }).click();
      await byTwo({ stack, signIn, look: axe }, mine);
      stack.authenticators.forget(person.login);
      await password();
      await page.getByRole('heading', { name: 'Set up your second factor' }).waitFor();
      const half = new Api(stack.pageUrl, stack.publicCa);
      half.csrf = (await half.must('POST', '/api/v1/session', { form: { name: person.login, password: person.password } })).csrf;
      const { excludeCredentials } = await half.must('POST', '/api/v1/session/set-up/challenge');
      assert(excludeCredentials.length === 0, 'the keys are still there');
      await browser.close();
    }),
  ];
}
