// Callers who lie, against the real server: what brought other products down (docs/security.md, attack list), on every route there is.
import fs from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { ldapBind } from '../../scripts/lib/demo/login.mjs';
import { ROOT } from '../../scripts/lib/demo/stack.mjs';

const ID = '0a'.repeat(16);

/** The table that the rights of every route are tested by: what is not in it does not exist (server_rights_test). */
const routes = fs.readFileSync(path.join(ROOT, 'tests/unit/server-pages/route_rights.txt'), 'utf8').split('\n').filter((line) => /^[A-Z]/.test(line))
  .map((line) => line.split(' ')).map(([method, pattern, right]) => ({ method, address: pattern.replace(/\{\w+\}/g, ID), right }));

/** One address in other words: each is another address, or none. */
function spellings(address) {
  const [, first, ...rest] = address.split('/');
  const tail = rest.length ? `/${rest.join('/')}` : '';
  const escaped = (text) => [...text].map((c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`).join('');
  const all = [`/.${address}`, `/${address}`, `//${address}`, `/./${first}${tail}`, `/x/..${address}`, `/x/%2e%2e${address}`, `/%2e${address}`, `/..${address}`, `/%2e%2e${address}`, `/..;${address}`, `/.;${address}`, `/;${address}`,
    `${address}/`, `${address}//`, `${address}/.`, `${address}/..`, `${address}/%2e`, `${address};`, `${address};x`, `${address};jsessionid=1`, `${address}%3b`, `${address}%20`, `${address}%00`, `${address}%0a`, `${address}%0d%0aX:1`, `${address}.`, `${address}.json`,
    `${address}.css`, `${address}%23`, `${address}%3f`, `${address}/x.js`, `${address}~`, `${address}%2f`, `${address}\\`, `/${escaped(first)}${tail}`, `/%${first.charCodeAt(0).toString(16)}${first.slice(1)}${tail}`, `/%25${first.charCodeAt(0).toString(16)}${first.slice(1)}${tail}`,
    `/${first.toUpperCase()}${tail}`, `/${first[0]?.toUpperCase() ?? ''}${first.slice(1)}${tail}`, `/${first}%2f${rest.join('%2f')}`, `/${first}\\${rest.join('\\')}`, `\\${first}${tail}`, `/${first}/;${tail}`, `/${first}//${rest.join('/')}`, `/assets/..${address}`, `/assets/%2e%2e${address}`,
    `/sign-in/..${address}`, `/sign-in;${address}`, `/api/v1/health/..${address}`, `/${first.replace(/a/g, '%c0%e1')}${tail}`, `/\u00e4${address}`, `${address}#x`, `https://localhost${address}`, `localhost${address}`, '*'];
  return [...new Set(all)].filter((one) => one !== address && one !== '/');
}

/** Requests as they are written here, one behind the other, each on the connection that is still open. */
class RawClient {
  constructor(stack) {
    this.stack = stack;
    this.trust = tls.createSecureContext({ ca: fs.readFileSync(stack.publicCa) });
  }

  async open() {
    const socket = tls.connect({ host: '127.0.0.1', port: this.stack.port, servername: 'localhost', secureContext: this.trust, ...(this.known ? { checkServerIdentity: () => undefined } : {}) });
    // Each connection trusts this authority alone. That the name is right as well is looked at in the first: the certificate as an object, which Node makes for it, costs as much as the handshake.
    if (this.known) socket.getPeerCertificate = () => ({});
    Object.assign(this, { socket, text: '', ended: false, wake: () => {} });
    const mine = (act) => (data) => { if (this.socket === socket) { act(data); this.wake(); } };
    socket.setEncoding('latin1');
    socket.on('data', mine((data) => { this.text += data; }));
    for (const event of ['end', 'close', 'error']) socket.on(event, mine(() => { this.ended = true; }));
    await new Promise((resolve, reject) => { socket.once('secureConnect', resolve); socket.once('error', reject); });
    this.known = true;
  }

  async until(done) {
    while (!done()) {
      if (this.ended) return false;
      await new Promise((resolve) => { this.wake = resolve; });
    }
    return true;
  }

  /** {status, headers, body}; `target` goes out byte by byte as it is. */
  async send(method, target, { headers = {}, body } = {}) {
    if (!this.socket || this.ended) await this.open();
    const lines = { Host: `localhost:${this.stack.port}`, ...(body === undefined ? {} : { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body) }), ...headers };
    this.text = '';
    this.socket.write(`${method} ${target} HTTP/1.1\r\n${Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body ?? ''}`, 'latin1');
    await this.until(() => this.text.includes('\r\n\r\n'));
    if (!this.text.startsWith('HTTP/1.1 ')) throw new Error(`${method} ${JSON.stringify(target)}: no answer`);
    const end = this.text.indexOf('\r\n\r\n');
    const answer = { status: Number(this.text.slice(9, 12)), headers: {}, body: '' };
    for (const line of this.text.slice(0, end).split('\r\n').slice(1)) answer.headers[line.slice(0, line.indexOf(':')).toLowerCase()] = line.slice(line.indexOf(':') + 1).trim();
    if (/event-stream/.test(answer.headers['content-type'] ?? '')) this.close();
    else if (method !== 'HEAD') {
      const size = Number(answer.headers['content-length'] ?? 0);
      await this.until(() => this.text.length >= end + 4 + size);
      answer.body = this.text.slice(end + 4, end + 4 + size);
    }
    if (/close/i.test(answer.headers.connection ?? '')) this.close();
    return answer;
  }

  close() { this.socket?.destroy(); this.ended = true; }
}

export function attackTests({ stack, test, signIn, admin }) {
  function assert(condition, message) { if (!condition) throw new Error(message); }
  const withClient = (body) => async (page) => {
    const client = new RawClient(stack);
    try { await body(client, page); } finally { client.close(); }
  };
  async function cookieOf(page) {
    await signIn(page, admin);
    const { name, value } = (await page.context().cookies()).find((c) => c.name === '__Host-keyferry');
    return { name, value, header: { Cookie: `${name}=${value}` } };
  }
  const body = ({ method }) => (method === 'POST' ? 'a=b' : undefined);

  return [
    () => test('attacks: a route has one spelling; nobody gets in by another, and nobody who is signed in either', async (page) => {
      const { header } = await cookieOf(page);
      const known = new Set(routes.map(({ method, address }) => `${method} ${address}`));
      const met = new Set(), requests = [];
      for (const route of routes) {
        // Signed in, one of each folder: that what is another spelling is taken for no route hangs on no single one.
        const folder = `${route.method} ${route.address.split('/').slice(0, 4).join('/')}`;
        const callers = met.has(folder) ? [{}] : [{}, header];
        met.add(folder);
        for (const target of spellings(route.address)) {
          if (!known.has(`${route.method} ${target}`)) requests.push(...callers.map((headers) => ({ route, target, headers })));
        }
      }
      assert(routes.length > 100 && requests.length > routes.length * 50, `only ${requests.length} requests for ${routes.length} routes`);
      // Most answers end their connection, and a new one takes both sides a while.
      await Promise.all(Array.from({ length: 4 }, () => withClient(async (client) => {
        for (let next = requests.pop(); next; next = requests.pop()) {
          const { route, target, headers } = next;
          const { status, headers: { location } } = await client.send(route.method, target, { headers, body: body(route) });
          const sentAway = !headers.Cookie && status === 303 && location.startsWith('/sign-in');
          assert(sentAway || [400, 401, 403, 404, 405, 414, 415].includes(status), `${route.method} ${JSON.stringify(target)} ${headers.Cookie ? 'signed in' : 'as nobody'}: ${status}`);
        }
      })()));
    }),

    () => test('attacks: as nobody every route that wants somebody sends to the sign-in or answers 401, whatever a header claims', withClient(async (client) => {
      const claims = { 'X-Original-URL': '/sign-in', 'X-Rewrite-URL': '/sign-in', 'X-HTTP-Method-Override': 'GET', 'X-Forwarded-For': '127.0.0.1', 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-User': admin.login, 'X-Remote-User': admin.login,
        'Forwarded': 'host=evil.example;for=127.0.0.1', 'X-SSL-Client-Verify': 'SUCCESS', 'Authorization': 'Bearer ', 'Referer': stack.pageUrl, 'Origin': new URL(stack.pageUrl).origin };
      for (const route of routes.filter(({ right }) => right !== 'anybody')) {
        const { status, headers, body: text } = await client.send(route.method, route.address, { headers: claims, body: body(route) });
        const away = status === 303 && /^\/sign-in(\?|$)/.test(headers.location);
        assert(away || status === 401, `${route.method} ${route.address}: ${status} ${headers.location ?? ''}`);
        assert(!text.includes('evil.example') && !headers.location?.includes('evil.example'), `${route.address} repeats the header`);
      }
    })),

    () => test('attacks: every answer of every route carries the headers that keep a browser safe; other methods are refused', withClient(async (client, page) => {
      const { header } = await cookieOf(page);
      const wanted = { 'content-security-policy': /default-src 'none'.*frame-ancestors 'none'/, 'strict-transport-security': /max-age=\d{7,}/, 'x-content-type-options': /^nosniff$/, 'referrer-policy': /^(no-referrer|same-origin)$/,
        'cross-origin-opener-policy': /^same-origin$/, 'cross-origin-resource-policy': /^same-origin$/, 'x-frame-options': /^DENY$/i, 'permissions-policy': /camera=\(\)/, 'cache-control': /no-store/ };
      const check = (what, headers) => {
        for (const [name, value] of Object.entries(wanted)) assert(value.test(headers[name] ?? ''), `${what}: ${name} is ${headers[name]}`);
        assert(!/unsafe-|\*/.test(headers['content-security-policy']), `${what}: ${headers['content-security-policy']}`);
        for (const name of ['server', 'x-powered-by', 'access-control-allow-origin']) assert(!headers[name], `${what}: ${name}: ${headers[name]}`);
      };
      for (const { method, address } of routes) {
        if (method === 'GET') {
          for (const headers of [{}, header]) {
            const answer = await client.send('GET', address, { headers });
            check(`GET ${address} (${answer.status})`, answer.headers);
          }
        }
        for (const other of ['PUT', 'PATCH', 'TRACE', 'TRACK', 'OPTIONS', 'PROPFIND', 'DEBUG', method.toLowerCase(), 'GETT']) {
          const answer = await client.send(other, address, { headers: header });
          check(`${other} ${address} (${answer.status})`, answer.headers);
          assert([400, 404, 405].includes(answer.status), `${other} ${address}: ${answer.status}`);
        }
      }
    })),

    () => test('attacks: a session\'s cookie is good as it is and in no other form', withClient(async (client, page) => {
      const { name, value } = await cookieOf(page);
      const ask = async (cookie) => (await client.send('GET', '/api/v1/session', { headers: { Cookie: cookie } })).status;
      assert(await ask(`${name}=${value}`) === 200, 'the session does not work');
      const flipped = value.slice(0, -2) + (value.at(-2) === 'A' ? 'B' : 'A') + value.slice(-1);
      for (const cookie of [`${name}=`, `${name}=${value.slice(0, -1)}`, `${name}=${value}A`, `${name}=${flipped}`, `${name}=${value.toUpperCase()}`, `${name}=${value} x`, `${name}="${value}"`, `${name}=%${value.charCodeAt(0).toString(16)}${value.slice(1)}`,
        `${name}=${value}; ${name}=${value}`, `${name}=x; ${name}=${value}`, `${name.toLowerCase()}=${value}`, `keyferry=${value}`, `__Secure-keyferry=${value}`, `${name}=${'A'.repeat(4000)}`]) {
        assert(await ask(cookie) === 401, `taken: ${cookie.slice(0, 80)}`);
      }
      assert(await ask(`${name}=${value}`) === 200, 'the session does not work any more');
    })),

    () => test('attacks: a password that is no text, an empty one and one in the address change nothing and sign nobody in', async () => {
      const changes = async () => (await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/changes`)).changes.length;
      const before = await changes();
      for (const password of [[], ['Long-enough-2026!'], {}, { $ne: '' }, null, 1, true, '']) {
        const { status } = await stack.api.request('POST', `/api/v1/employees/${stack.employee.id}/password`, { json: { password, reason: 'e2e: attack' } });
        assert(status === 400 || status === 422, `${JSON.stringify(password)}: ${status}`);
      }
      const { status } = await stack.api.request('POST', `/api/v1/employees/${stack.employee.id}/password?password=Long-enough-2026!`, { json: { generate: true, reason: 'e2e: attack' } });
      assert(status === 400, `a password in the address: ${status}`);
      assert(await changes() === before, 'something was changed');
      const client = new RawClient(stack);
      try {
        for (const form of [`name=${admin.login}&password=`, `name=${admin.login}`, `name=${admin.login}&password[]=x`, `name=${admin.login}&password=x&password=${encodeURIComponent(admin.password)}`, `name=&password=`, `name[]=${admin.login}&password=x`, `name=${admin.login}&password=%00`]) {
          const answer = await client.send('POST', '/api/v1/session', { body: form });
          assert([400, 401].includes(answer.status), `${form.split('&password=x')[0]}: ${answer.status}`);
          assert(!answer.headers['set-cookie'], 'a session was given');
        }
      } finally { client.close(); }
      assert(!await ldapBind(stack.dc, stack.employee.upn, ''), 'an empty password binds');
    }),

    () => test('attacks: whoever does not exist, has no role or gives a wrong password gets the same answer, byte for byte', withClient(async (client) => {
      const plain = (text) => text.replace(/"(instance|request_id|id)":"[^"]*"/g, '');
      const answers = [];
      for (const name of ['nobody-of-that-name', stack.account('employee_without_key').login, stack.employee.login, 'x'.repeat(60), 'nobody@elsewhere.example', 'ELSEWHERE\\nobody']) {
        const answer = await client.send('POST', '/api/v1/session', { body: new URLSearchParams({ name, password: 'certainly-wrong-1' }).toString() });
        answers.push(`${answer.status} ${plain(answer.body)} ${Object.keys(answer.headers).sort().join(',')}`);
      }
      assert(new Set(answers).size === 1, [...new Set(answers)].join('\n'));
    })),

    () => test('attacks: no form of any page has a secret go by the address', async (page) => {
      await signIn(page, admin);
      for (const { method, address } of routes.filter((route) => route.method === 'GET' && !route.address.startsWith('/api/') && !route.address.startsWith('/events/') && !route.address.startsWith('/assets/'))) {
        await page.goto(new URL(address.replace(ID, stack.employee.id), stack.pageUrl).href);
        const bad = await page.locator('form').evaluateAll((forms) => forms.filter((form) => form.method !== 'post' && form.querySelector('input[type=password], input[name=csrf], input[name=code]')).map((form) => form.action));
        assert(bad.length === 0, `${method} ${address}: ${bad}`);
        assert(await page.locator('form[action^="http:"], [src^="http"]:not([src^="https://localhost"]), [onclick], [onload], [style]').count() === 0, `${address} has a handler, a style of its own, or goes elsewhere`);
      }
    }),
  ];
}
