// The REST API of a real server, as a program uses it: with a token, page by page, and with what no program should send.
import { randomUUID } from 'node:crypto';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { until } from '../../scripts/lib/demo/stack.mjs';
import { hostileBodies, hostileNames } from './hostile.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

/** A program with a token: no cookie, no CSRF token. */
function program(stack, token) {
  const api = new Api(stack.pageUrl, stack.publicCa);
  const plain = api.request.bind(api);
  api.request = async (method, path, options = {}) => {
    api.cookie = '';
    return plain(method, path, { ...options, headers: { Authorization: `Bearer ${token}`, ...options.headers } });
  };
  return api;
}

const ALL = ['people:read', 'changes:read', 'changes:write', 'keys:read', 'keys:write', 'workstations:read', 'workstations:write', 'policies:read', 'policies:write', 'audit:read', 'check_up:read', 'check_up:write', 'alarm:read', 'alarm:raise'];

export function apiTests({ stack, test, signIn, axe, picture, admin }) {
  const get = (path) => stack.api.must('GET', path);
  const lastAudit = async () => (await get('/api/v1/audit?limit=1')).rows[0];

  return [
    () => test('API: a token is made on the page, shown once, used, and revoked', async (page) => {
      await signIn(page, admin);
      await page.getByText('Set-up', { exact: true }).click();
      await page.getByRole('link', { name: 'API', exact: true }).click();
      await page.getByText('There are no tokens').waitFor();
      await axe(page, 'no tokens');
      await page.getByLabel('Name').fill('inventory');
      await page.getByLabel('Days of life').fill('30');
      await page.getByText('people:read').click();
      await page.getByText('keys:read').click();
      await page.getByRole('button', { name: 'Make a token' }).click();
      const token = await page.locator('[data-token]').innerText();
      assert(/^kft_[A-Za-z0-9_-]{43}$/.test(token), `the token is ${token.slice(0, 6)}…`);
      await axe(page, 'a new token');
      await picture(page, 'token-new');
      const robot = program(stack, token);
      await robot.must('GET', '/api/v1/keys');
      const refused = await robot.request('GET', '/api/v1/audit');
      assert(refused.status === 403 && refused.body.code === 'missing_scope' && refused.body.scope === 'audit:read', JSON.stringify(refused.body));
      const both = await robot.request('GET', '/api/v1/keys', { headers: { Cookie: stack.api.cookie } });
      assert(both.status === 400 && both.body.code === 'mixed_credentials', `with a cookie: ${both.status}`);
      const denied = await robot.request('POST', '/api/v1/tokens', { json: { name: 'more', scopes: ALL, days: 9 } });
      assert(denied.body.code === 'session_required', JSON.stringify(denied.body));
      await page.goto(`${stack.pageUrl}tokens`);
      assert(!(await page.content()).includes(token), 'the token is on the page again');
      await picture(page, 'tokens');
      await page.setViewportSize({ width: 390, height: 900 });
      await page.emulateMedia({ colorScheme: 'dark' });
      await picture(page, 'tokens-phone');
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert(overflow <= 0, `the page scrolls sideways by ${overflow} px`);
      await axe(page, 'tokens on a phone');
      await page.getByText('Revoke inventory').click();
      await page.getByRole('button', { name: 'Revoke now' }).click();
      await page.getByText('Revoked', { exact: true }).waitFor();
      const { status, body } = await robot.request('GET', '/api/v1/keys');
      assert(status === 401 && body.code === 'token_revoked', `after its end: ${status} ${body.code}`);
      const rows = (await get('/api/v1/audit?limit=20')).rows.map(({ actor, action, outcome }) => `${actor} ${action} ${outcome}`);
      for (const row of ['token inventory token.use ok', 'token inventory token.use denied', `${admin.login} token.revoke ok`]) {
        assert(rows.includes(row), `no audit row "${row}" in ${rows.join('; ')}`);
      }
    }),

    () => test('API: a token sets a password under its own name, once however often it asks', async () => {
      const { token } = await stack.api.must('POST', '/api/v1/tokens', { json: { name: 'rotator', scopes: ALL, days: 1 } });
      const robot = program(stack, token);
      const url = `/api/v1/employees/${stack.employee.id}`;
      const headers = { 'Idempotency-Key': randomUUID() };
      const ask = (reason) => robot.request('POST', `${url}/password`, { json: { generate: true, reason }, headers });
      const first = await ask('e2e: by token');
      assert(first.status === 201 && first.body.actor === 'token rotator', JSON.stringify(first.body));
      const again = await ask('e2e: by token');
      assert(again.status === 201 && again.body.id === first.body.id, 'a second change was made');
      const other = await ask('e2e: another');
      assert(other.status === 422 && other.body.code === 'idempotency_mismatch', `${other.status} ${other.body.code}`);
      assert((await lastAudit()).action !== undefined, 'no audit');
      const own = (await robot.must('GET', `/api/v1/employees?query=${admin.login}`)).people.find(({ login }) => login === admin.login);
      if (own) {
        const mine = await robot.request('POST', `/api/v1/employees/${own.id}/password`, { json: { generate: true, reason: 'e2e: my maker' } });
        assert(mine.status === 403 || mine.status === 409, `the maker's own account: ${mine.status}`);
      }
    }),

    () => test('API: every list in pages of one, each element once', async () => {
      for (const [path, name, id] of [['/api/v1/employees', 'people', 'id'], ['/api/v1/keys', 'keys', 'device'], ['/api/v1/audit', 'rows', 'number'],
        ['/api/v1/tokens', 'tokens', 'id'], ['/api/v1/workstations', 'workstations', 'id'], [`/api/v1/employees/${stack.employee.id}/changes`, 'changes', 'id']]) {
        const all = (await get(`${path}?limit=200`))[name].map((one) => one[id]).slice(0, 8);
        const found = [];
        for (let cursor = '', rounds = 0; rounds < all.length; rounds += 1) {
          const page = await get(`${path}?limit=1${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
          found.push(...page[name].map((one) => one[id]));
          cursor = page.next;
          if (!cursor) break;
        }
        // Meanwhile there may be newer rows; those that were met follow each other.
        if (name === 'rows') assert(found.length > 1 && found.every((number, i) => i === 0 || number === found[i - 1] - 1), `audit rows ${found}`);
        else assert(found.join() === all.join(), `${path}: ${found} is not ${all}`);
      }
    }),

    () => test('API: 200 hostile names through search find nobody and break nothing', async () => {
      const { pid } = stack.services.server;
      const before = (await get(`/api/v1/employees/${stack.employee.id}`));
      const counts = {};
      let asked = 0;
      for (const name of hostileNames) {
        const query = typeof name === 'string' ? encodeURIComponent(name) : name.raw;
        const { status, body } = await stack.api.request('GET', `/api/v1/employees?limit=200&query=${query}`);
        counts[status] = (counts[status] ?? 0) + 1;
        asked += 1;
        assert(status === 200 || (status >= 400 && status < 500), `${JSON.stringify(name).slice(0, 80)} answered ${status}`);
        // Blanks alone are no query: everybody is listed.
        if (status === 200 && String(name).trim()) assert(body.people.every(({ login }) => login.toLowerCase() !== stack.employee.login.toLowerCase()), `${JSON.stringify(name)} found ${stack.employee.login}`);
      }
      assert(asked >= 200, `only ${asked} names`);
      for (const name of hostileNames.filter((one) => typeof one === 'string').slice(0, 40)) {
        const { status } = await stack.api.request('GET', `/api/v1/employees/${encodeURIComponent(name)}`);
        assert(status >= 400 && status < 500, `as an identifier ${JSON.stringify(name).slice(0, 80)} answered ${status}`);
      }
      const after = await get(`/api/v1/employees/${stack.employee.id}`);
      assert(JSON.stringify(before) === JSON.stringify(after), 'the employee changed');
      assert(stack.services.server.pid === pid && stack.services.server.running !== false, 'the server was started again');
      console.log(`  answers: ${Object.entries(counts).map(([status, count]) => `${count} × ${status}`).join(', ')}`);
    }),

    () => test('API: malformed, oversized and doubled content is refused on every POST, and nothing changes', async () => {
      // The key's receipts of what was set before are audited, too.
      await until('no password is on its way', async () => (await get('/api/v1/reports')).pending === 0);
      const number = (await lastAudit()).number;
      const [{ device, state }] = (await get('/api/v1/keys')).keys;
      const changes = (await get(`/api/v1/employees/${stack.employee.id}/changes`)).changes.length;
      let sent = 0;
      // All of them where JSON and forms are taken, every fifth elsewhere.
      for (const [step, path] of [[1, `/api/v1/employees/${stack.employee.id}/password`], [1, '/api/v1/tokens'], [5, `/api/v1/keys/${device}/suspend`], [5, '/api/v1/enrolments'], [5, '/api/v1/policies'], [5, '/api/v1/workstation-matches/approve'], [5, '/api/v1/workstations']]) {
        for (const { body, type } of hostileBodies.filter((_, i) => i % step === 0)) {
          const { status, body: problem } = await stack.api.request('POST', path, { raw: { body, type } });
          sent += 1;
          assert(status >= 400 && status < 500, `${path} with ${String(body).slice(0, 60)} answered ${status}`);
          if (status !== 413) assert(problem?.detail, `${path}: no detail`);
        }
      }
      assert((await get(`/api/v1/keys/${device}`)).state === state, 'the key changed');
      assert((await get(`/api/v1/employees/${stack.employee.id}/changes`)).changes.length === changes, 'a change was made');
      // What the server does by itself goes on meanwhile: mails about what was done before, sessions that end.
      const since = (await get('/api/v1/audit?limit=50')).rows.filter((row) => row.number > number && row.actor !== 'system');
      assert(since.length === 0, `audited: ${JSON.stringify(since[0])}`);
      console.log(`  ${sent} refused`);
    }),
  ];
}

/** The routes that no other test asks for, so that each has answered once (contract.mjs). */
export function otherRouteTests({ stack, test }) {
  return [
    () => test('API: what no page needs is there for programs', async () => {
      const { api } = stack;
      const must = (method, path, options) => api.must(method, path, options);
      const { token, id } = await must('POST', '/api/v1/tokens', { json: { name: 'auditor', scopes: ['audit:read', 'check_up:read', 'check_up:write', 'workstations:read'], days: 1 } });
      const robot = program(stack, token);
      for (const format of ['jsonl', 'csv', 'cef']) await robot.must('GET', `/api/v1/audit/export?format=${format}&limit=5`);
      const verified = await robot.must('GET', '/api/v1/audit/verification');
      assert(verified.whole, verified.report);
      await robot.must('POST', '/api/v1/check-up');
      await robot.must('GET', '/api/v1/check-up');
      const [{ id: workstation }] = (await robot.must('GET', '/api/v1/workstations')).workstations;
      await robot.must('GET', `/api/v1/workstations/${workstation}`);
      await robot.must('GET', '/api/v1/workstation-matches');
      await must('POST', '/api/v1/workstation-matches/approve', { json: { workstations: [] } });
      await must('GET', `/api/v1/tokens/${id}`);
      await must('POST', `/api/v1/tokens/${id}/revoke`);
      for (const part of ['keys', 'preflight']) await must('GET', `/api/v1/employees/${stack.employee.id}/${part}`);
      for (const path of ['/api/v1/presence', '/api/v1/sources', '/api/v1/health', '/api/v1/openapi.json', '/api/v1/problems/conflict']) await must('GET', path);
      const [change] = (await must('GET', `/api/v1/employees/${stack.employee.id}/changes`)).changes;
      await must('GET', `/api/v1/changes/${change.id}`);
      const policy = { name: 'contract', group_dn: stack.dc.help_desk_group, max_age_days: 3650, window_from: '00:00', window_until: '24:00', notify_days: [3], enabled: false };
      const { members } = await must('POST', '/api/v1/policies/preview', { json: policy });
      assert(members.length > 0, 'the preview names nobody');
      const made = await must('POST', '/api/v1/policies', { json: policy });
      await must('POST', `/api/v1/policies/${made.id}`, { json: { ...policy, max_age_days: 365 } });
      const [kept] = (await must('GET', '/api/v1/policies')).policies;
      assert(kept.id === made.id && kept.max_age_days === 365, `the policy is ${JSON.stringify(kept)}`);
      await must('DELETE', `/api/v1/policies/${made.id}`);
      await must('DELETE', '/api/v1/session');
      await api.signIn(stack.account('administrator').login, stack.account('administrator').password);
    }),
  ];
}
