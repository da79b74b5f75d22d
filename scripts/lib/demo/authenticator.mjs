// What an authenticator app does (RFC 6238), for the demo and the tests: codes from the secrets that the server showed at set-up.
import { createHmac } from 'node:crypto';
import fs from 'node:fs';

const STEP = 30;
const now = () => Math.floor(Date.now() / 1000 / STEP);

export function totp(secret, step) {
  const bits = [...secret.replace(/ /g, '')].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac('sha1', key).update(counter).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1e6).padStart(6, '0');
}

/** The apps of all people of one demo, in a file that only its owner reads. A code works once, so each is given out once. */
export class Authenticators {
  constructor(file) {
    this.file = file;
    this.secrets = file && fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : {};
    this.used = {};
    this.recovery = {};
    this.hurry = false;
  }

  has(login) { return Boolean(this.secrets[login]); }
  forget(login) { delete this.secrets[login]; delete this.used[login]; delete this.recovery[login]; this.save(); }
  save() { if (this.file) fs.writeFileSync(this.file, JSON.stringify(this.secrets), { mode: 0o600 }); }

  /** Two codes in a row for the set-up; nothing is kept until `confirmed`. */
  first(secret) {
    const step = now();
    return { codes: [totp(secret, step - 1), totp(secret, step)], confirmed: (login, recovery = []) => {
      this.secrets[login] = secret;
      this.used[login] = step;
      this.recovery[login] = recovery;
      this.save();
    } };
  }

  /** The server was restored just now: it takes none of the codes that may have been used before that. */
  restored() { for (const login of Object.keys(this.secrets)) this.used[login] = Math.max(this.used[login] ?? 0, now() + 1); }

  /**
   * A code that was not given out: of now or, where that one was, of the step that the server takes ahead of time; else it waits for the next.
   * In a hurry it takes one of the person's recovery codes, while there are any, and waits for nothing.
   */
  async next(login) {
    if (!this.has(login)) throw new Error(`${login} has no second factor here`);
    let step = Math.max(now(), (this.used[login] ?? 0) + 1);
    if (this.hurry && step > now() + 1 && this.recovery[login]?.length) return this.recovery[login].pop();
    while (step > now() + 1) await new Promise((resolve) => { setTimeout(resolve, 250); });
    step = Math.max(step, now());
    this.used[login] = step;
    return totp(this.secrets[login], step);
  }
}
