// A mail server for tests that are written in JavaScript: aiosmtpd, which keeps what it took.
import { spawn } from 'node:child_process';
import path from 'node:path';
import readline from 'node:readline';
import { ROOT } from '../../../scripts/lib/demo/stack.mjs';

export class MailServer {
  constructor() { this.mails = []; this.port = 0; }

  async start() {
    this.child = spawn('/usr/bin/python3', [path.join(ROOT, 'tests/support/smtp/smtp_server.py'), '--port', String(this.port)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.gone = new Promise((resolve) => { this.child.on('exit', resolve); });  // from now on: it may have ended before anybody stops it
    const lines = readline.createInterface({ input: this.child.stdout });
    await new Promise((resolve, reject) => {
      this.child.on('exit', () => reject(new Error('the mail server ended')));
      lines.on('line', (line) => {
        const ready = /^ready (\d+)$/.exec(line);
        if (ready) { this.port = Number(ready[1]); resolve(); } else this.mails.push(JSON.parse(line));
      });
    });
  }

  async stop() {
    if (!this.child) return;
    this.child.stdin.end();
    await this.gone;
  }
}

/** A mail's text, which travels as base64. */
export const textOf = ({ content }) => Buffer.from(content.split(/\r?\n\r?\n/).slice(1).join(''), 'base64').toString('utf8');

/** A stack whose server sends its mails to `this.mail`. */
export const withMail = (Base) => class extends Base {
  constructor(options) { super(options); this.mail = new MailServer(); }

  async start() { await this.mail.start(); await super.start(); }

  async stop() { await super.stop(); await this.mail.stop(); }

  serverConfig() {
    return `${super.serverConfig()}\n[mail]\nhost = "127.0.0.1"\nport = ${this.mail.port}\ntls = "none"\nfrom = "keyferry@corp.example"\n`;
  }
};
