// The server's REST API as the demo uses it: one session, CA pinned.
import https from 'node:https';
import fs from 'node:fs';
import { randomUUID } from 'node:crypto';
import { Authenticators } from './authenticator.mjs';

export class Api {
  constructor(base, caFile, authenticators = new Authenticators(null)) {
    this.base = new URL(base);
    this.authenticators = authenticators;
    this.agent = new https.Agent({ ca: fs.readFileSync(caFile), keepAlive: false });
    this.session = { cookie: '', csrf: '', login: '' };
  }

  // An object of its own, so that two servers' clients can have one session together.
  get cookie() { return this.session.cookie; }
  set cookie(value) { this.session.cookie = value; }
  get csrf() { return this.session.csrf; }
  set csrf(value) { this.session.csrf = value; }
  get login() { return this.session.login; }
  set login(value) { this.session.login = value; }

  /** `raw`: {body, type}, sent as it is. Where a fresh proof of the second factor is wanted it is given, and the request sent once more. */
  async request(method, path, options = {}) {
    const answer = await this.send(method, path, options);
    if (answer.body?.code !== 'step_up_required' || !this.authenticators.has(this.login)) return answer;
    await this.stepUp();
    return this.send(method, path, options);
  }

  send(method, path, { json, form, raw, headers = {} } = {}) {
    const body = raw ? raw.body : json !== undefined ? JSON.stringify(json) : form !== undefined ? new URLSearchParams(form).toString() : undefined;
    const url = new URL(path, this.base);
    return new Promise((resolve, reject) => {
      const request = https.request(url, {
        method, agent: this.agent,
        headers: {
          Accept: 'application/json',
          ...(raw ? { ...(raw.type ? { 'Content-Type': raw.type } : {}), 'Content-Length': Buffer.byteLength(raw.body) } : body !== undefined ? { 'Content-Type': json !== undefined ? 'application/json' : 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body) } : {}),
          ...(this.cookie ? { Cookie: this.cookie } : {}),
          ...(this.csrf ? { 'X-Keyferry-CSRF': this.csrf } : {}),
          ...(method !== 'GET' ? { Origin: this.base.origin, 'Idempotency-Key': randomUUID() } : {}),
          ...headers,
        },
      }, (response) => {
        let text = '';
        response.on('data', (data) => { text += data; });
        // A server that dies in the middle of its answer ends it without an end.
        response.on('close', () => { if (!response.complete) reject(new Error(`${method} ${path}: the answer broke off`)); });
        response.on('end', () => {
          const cookie = response.headers['set-cookie']?.[0]?.split(';')[0];
          if (cookie) this.cookie = cookie;
          let value = null;
          try { value = text ? JSON.parse(text) : null; } catch { value = text; }
          resolve({ status: response.statusCode, headers: response.headers, body: value });
        });
      });
      request.on('error', reject);
      request.setTimeout(20000, () => request.destroy(new Error(`${method} ${path}: no answer in 20 s`)));
      request.end(body);
    });
  }

  async must(method, path, options) {
    const { status, body } = await this.request(method, path, options);
    if (status >= 300) throw new Error(`${method} ${path} answered ${status}: ${body?.detail ?? body?.title ?? JSON.stringify(body)}`);
    return body;
  }

  /** With the second factor, which is set up the first time. */
  async signIn(name, password) {
    this.cookie = '';
    this.csrf = '';
    const { csrf, second_factor: owed } = await this.must('POST', '/api/v1/session', { form: { name, password } });
    this.csrf = csrf;
    if (owed === 'set_up') await this.setUpFactor(name);
    if (owed === 'code') this.csrf = (await this.must('POST', '/api/v1/session/code', { form: { code: await this.authenticators.next(name) } })).csrf;
    this.login = name;
    this.csrf = (await this.must('GET', '/api/v1/session')).csrf;
  }

  async stepUp() {
    this.csrf = (await this.must('POST', '/api/v1/session/step-up', { form: { code: await this.authenticators.next(this.login) } })).csrf;
  }

  /** By the page: the secret is shown there and nowhere else. */
  async setUpFactor(name) {
    const page = await this.must('POST', '/sign-in/set-up', { form: { csrf: this.csrf } });
    const secret = /data-secret>([A-Z2-7 ]+)</.exec(page)[1].replace(/ /g, '');
    const { codes: [first, second], confirmed } = this.authenticators.first(secret);
    const done = await this.must('POST', '/sign-in/set-up/confirm', { form: { csrf: this.csrf, first, second } });
    confirmed(name, [...done.matchAll(/<li>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</g)].map((found) => found[1]));
    this.csrf = '';
  }
}
