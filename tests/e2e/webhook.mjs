// The webhook: a real receiver that is busy first, what it gets, and the page that shows it.
import crypto from 'node:crypto';
import http from 'node:http';
import { clickThrough, openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { UIDS, until } from '../../scripts/lib/demo/stack.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

const TOKEN = 't0p-of-the-receiver';

/** Takes what is posted to it, or answers `this.status`. */
class Receiver {
  constructor() { this.posts = []; this.status = 204; this.secret = crypto.randomBytes(32).toString('hex'); }

  async start() {
    this.server = http.createServer((request, response) => {
      const parts = [];
      request.on('data', (part) => parts.push(part));
      request.on('end', () => {
        this.posts.push({ method: request.method, path: request.url, headers: request.headers, body: Buffer.concat(parts).toString('utf8'), status: this.status });
        response.writeHead(this.status, { Connection: 'close' }).end();
      });
    });
    await new Promise((resolve) => { this.server.listen(0, '127.0.0.1', resolve); });
    this.url = `http://127.0.0.1:${this.server.address().port}/hook?token=${TOKEN}`;
  }

  async stop() { this.server.closeAllConnections(); await new Promise((resolve) => { this.server.close(resolve); }); }

  /** As docs/webhook.md tells receivers to check it. */
  genuine({ headers, body }) {
    const stamp = headers['keyferry-timestamp'];
    const wanted = Buffer.from(`v1=${crypto.createHmac('sha256', this.secret).update(`${stamp}.${body}`).digest('hex')}`);
    const got = Buffer.from(headers['keyferry-signature']);
    return wanted.length === got.length && crypto.timingSafeEqual(wanted, got) && Math.abs(Date.now() / 1000 - Number(stamp)) <= 300;
  }
}

/** A stack whose server tells `this.receiver`. */
export const withWebhook = (Base) => class extends Base {
  constructor(options) { super(options); this.receiver = new Receiver(); }

  async start() { await this.receiver.start(); await super.start(); }

  async stop() { await super.stop(); await this.receiver.stop(); }

  serverConfig() {
    this.secret(this.path('server', 'webhook-secret'), `${this.receiver.secret}\n`, UIDS.server);
    return `${super.serverConfig()}\n[webhook]\nurls = ["${this.receiver.url}"]\nsecret_file = "webhook-secret"\n`;
  }
};

export function webhookTests({ stack, test, signIn, axe, picture }) {
  const told = (ticket) => stack.receiver.posts.filter(({ body }) => JSON.parse(body).ticket === ticket);

  return [
    () => test('webhook: the end of a request reaches a receiver that was busy, signed and without a secret', async (page) => {
      const own = await openBrowser(stack);
      try {
        stack.receiver.status = 503;
        const agent = await own.newPage();
        await signIn(agent, stack.account('help_desk'));
        await agent.goto(`${stack.pageUrl}help-desk/new?ticket=E2E-HOOK&user=${stack.account('employee_without_key').login}`);
        await agent.getByLabel('Reason').fill('e2e: called by mistake');
        await agent.getByRole('button', { name: 'Begin' }).click();
        await agent.getByText('Unlock the account', { exact: true }).click();
        await agent.getByRole('button', { name: 'Go on to verification' }).click();
        await agent.getByText('Company badge').click();
        await agent.getByRole('button', { name: 'I have seen it' }).click();
        await agent.getByRole('button', { name: 'Unlock the account' }).click();
        await agent.getByRole('heading', { name: 'Carried out' }).waitFor();
        assert(told('E2E-HOOK').length === 0, 'it was told before it was over');
        await agent.getByRole('button', { name: 'The caller knows' }).click();
        await agent.getByRole('heading', { name: 'Done' }).waitFor();
      } finally {
        await own.close();
      }
      await until('the busy receiver was asked', async () => told('E2E-HOOK')[0]);
      await signIn(page, stack.account('administrator'));
      await page.goto(`${stack.pageUrl}check-up`);
      await clickThrough(page, page.getByRole('link', { name: 'Webhooks' }));  // a reload in the middle of its arrival fails
      const row = page.getByRole('row').filter({ hasText: 'E2E-HOOK' });
      await until('the page shows the failure', async () => { await page.reload(); return await row.getByText('Is tried again').count() === 1; });
      await row.getByText('The receiver answered with status 503.').waitFor();
      assert(!(await page.content()).includes(TOKEN), 'the page has the token of the address');
      await axe(page, 'webhooks');
      await picture(page, 'webhooks');
      await page.emulateMedia({ colorScheme: 'dark' });
      await page.setViewportSize({ width: 390, height: 844 });
      await axe(page, 'webhooks, dark, 390 px');
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert(overflow <= 0, `webhooks scroll sideways by ${overflow} px on a phone`);
      const { id } = (await stack.api.must('GET', '/api/v1/webhooks')).webhooks.find(({ ticket }) => ticket === 'E2E-HOOK');
      const tries = told('E2E-HOOK').length;
      const again = await stack.api.must('POST', `/api/v1/webhooks/${id}/retry`);
      assert(again.state === 'queued' && again.ticket === 'E2E-HOOK', JSON.stringify(again));
      await until('it is tried at once', async () => told('E2E-HOOK').length > tries);
      stack.receiver.status = 204;
      await clickThrough(page, row.getByRole('button', { name: 'Send now' }));
      await until('the page shows that it was taken', async () => { await page.reload(); return await row.getByText('Taken', { exact: true }).count() === 1; });

      const posts = told('E2E-HOOK');
      const taken = posts.filter(({ status }) => status === 204);
      assert(taken.length === 1, `it was taken ${taken.length} times`);
      assert(posts.every((post) => post.method === 'POST' && stack.receiver.genuine(post)), 'a signature is not good');
      assert(!stack.receiver.genuine({ ...taken[0], body: taken[0].body.replace('done', 'Done') }), 'the signature is good for anything');
      const body = JSON.parse(taken[0].body);
      assert(posts.every(({ headers }) => headers['keyferry-delivery'] === body.delivery), 'the tries have different identifiers');
      assert(body.outcome === 'done' && body.process === 'unlock' && body.methods.join() === 'in_person' && body.agent_login === stack.account('help_desk').login
        && body.user_login === stack.account('employee_without_key').login && body.acted > 0 && body.closed >= body.acted, taken[0].body);
      const rows = (await stack.api.must('GET', '/api/v1/audit')).rows.filter(({ action, target }) => action.startsWith('webhook.') && target === body.delivery);
      assert(rows.map(({ action }) => action).join() === 'webhook.sent,webhook.retry,webhook.retry', JSON.stringify(rows));
      assert((await stack.api.must('GET', '/api/v1/webhooks')).webhooks.find(({ id }) => id === body.delivery).state === 'sent', 'the API says otherwise');
      assert(!JSON.stringify(rows).includes(TOKEN), 'the audit log has the token of the address');
    }),
  ];
}
