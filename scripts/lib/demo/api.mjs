// The server's REST API as the demo uses it: one session, CA pinned.
import https from 'node:https';
import fs from 'node:fs';
import { randomUUID } from 'node:crypto';

export class Api {
  constructor(base, caFile) {
    this.base = new URL(base);
    this.agent = new https.Agent({ ca: fs.readFileSync(caFile), keepAlive: false });
    this.cookie = '';
    this.csrf = '';
  }

  /** `raw`: {body, type}, sent as it is. */
  request(method, path, { json, form, raw, headers = {} } = {}) {
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

  async signIn(name, password) {
    await this.must('POST', '/api/v1/session', { form: { name, password } });
    this.csrf = (await this.must('GET', '/api/v1/session')).csrf;
  }
}
