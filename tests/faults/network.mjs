// A bad network before the directory: a proxy of ours that drops, delays, resets, answers late and half-closes at the n-th request of
// a change. No fault may make the server claim what is not so.
import net from 'node:net';
import { Company, poll } from './company.mjs';

export const KINDS = {
  'request lost, silence': { forward: false, then: 'silence' },
  'request late': { forward: true, hold: 250, then: 'go on' },
  'request lost, reset': { forward: false, then: 'reset' },
  'answer lost, reset': { forward: true, then: 'reset' },
  'answer late, after the deadline': { forward: true, then: 'late', hold: 1200 },
  'answer lost, half-closed': { forward: true, then: 'close' },
};

/** Between the server and the directory; TLS passes through it untouched. */
export class DirectoryProxy {
  constructor(uri) {
    const target = new URL(uri.replace('ldaps:', 'https:'));
    this.host = target.hostname.replace(/^\[|\]$/g, '');
    this.port = Number(target.port || 636);
    this.armed = null;
    this.sockets = new Set();
  }

  async listen() {
    this.server = net.createServer({ allowHalfOpen: true }, (client) => this.join(client));
    await new Promise((resolve, reject) => { this.server.on('error', reject); this.server.listen(0, this.host, resolve); });
    return `ldaps://${this.host}:${this.server.address().port}`;
  }

  /** The n-th piece that the server sends from now on meets this fault, once. */
  arm(kind, n) { this.armed = { ...KINDS[kind], left: n, met: false }; return this.armed; }

  join(client) {
    const directory = net.connect({ host: this.host, port: this.port, allowHalfOpen: true });
    const both = [client, directory];
    let mute = false, heldAnswers = null;
    for (const socket of both) {
      this.sockets.add(socket);
      socket.on('error', () => both.forEach((s) => s.destroy()));
      socket.on('close', () => { this.sockets.delete(socket); both.forEach((s) => s.destroy()); });
    }
    directory.on('data', (data) => {
      if (mute) return;
      if (heldAnswers) heldAnswers.push(data);
      else client.write(data);
    });
    directory.on('end', () => client.end());
    client.on('end', () => directory.end());
    client.on('data', (data) => {
      if (mute) return;
      const fault = this.armed;
      if (!fault || fault.met || --fault.left > 0) { directory.write(data); return; }
      fault.met = true;
      if (fault.then === 'go on') {
        client.pause();
        setTimeout(() => { directory.write(data); client.resume(); }, fault.hold);
        return;
      }
      if (fault.then === 'late') {
        heldAnswers = [];
        setTimeout(() => { if (!client.destroyed) heldAnswers.forEach((d) => client.write(d)); heldAnswers = null; }, fault.hold);
      } else {
        mute = true;
      }
      const cut = () => {
        if (fault.then === 'reset') { client.resetAndDestroy(); directory.destroy(); }
        if (fault.then === 'close') client.end();
      };
      if (fault.forward) directory.write(data, cut);
      else cut();
    });
  }

  close() {
    this.server?.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

class FarCompany extends Company {
  get directoryTimeout() { return 600; }

  async startDirectory() {
    await super.startDirectory();
    this.proxy = new DirectoryProxy(this.dc.ldaps_uri);
    this.directoryUri = await this.proxy.listen();
  }

  async stop() {
    await super.stop();
    this.proxy?.close();
  }
}

/** One change while the n-th request to the directory meets a fault. Returns what was claimed, null when there was no n-th, undefined when the change came to nothing before it. */
export async function faultyChange(company, kind, n) {
  const before = await company.directoryWrites();
  const armed = company.proxy.arm(kind, n);
  const answer = await company.post();
  const met = armed.met;
  company.proxy.armed = null;
  const claimed = answer.status === 201 ? 'done' : answer.body?.code === 'outcome_unknown' ? 'not known' : 'not done';
  const written = await company.directoryWrites() - before;
  if (claimed === 'done' && written !== 1) throw new Error(`request ${n}: the page said done, the directory took ${written}`);
  if (claimed === 'not done' && written !== 0) throw new Error(`request ${n}: the page said ${answer.body?.detail}, the directory took ${written}`);
  if (written > 1) throw new Error(`request ${n}: ${written} writes for one request`);
  if (answer.status !== 201) await company.change();
  await company.quiet();
  await company.check();
  if (met) return claimed;
  return answer.status === 201 ? null : undefined;
}

/** A fault at the first request of a change, at the second … until one has no more; `change(n)` gives null then, else what is claimed. */
export async function atEachRequest(change) {
  const claims = [];
  for (let n = 1; n <= 12; ++n) {
    const claimed = await poll(() => change(n).then((said) => (said === undefined ? null : { said })), 60000);
    if (!claimed) throw new Error(`no change comes as far as request ${n}`);
    if (claimed.said === null) break;
    claims.push(claimed.said);
  }
  if (claims.length < 2) throw new Error('the proxy saw no change');
  return `at each of ${claims.length} requests: ${[...new Set(claims)].map((c) => `${claims.filter((x) => x === c).length} ${c}`).join(', ')}`;
}

export async function badNetwork(withCompany, test) {
  await withCompany(async (company) => {
    for (const kind of Object.keys(KINDS)) {
      await test(`network before the directory: ${kind}`, async () => {
        return atEachRequest((n) => faultyChange(company, kind, n));
      });
    }
  }, FarCompany);
}
