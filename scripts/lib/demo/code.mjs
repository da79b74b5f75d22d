// node scripts/lib/demo/code.mjs STATE LOGIN: the code that an authenticator app would show now for that person of the demo in STATE.
import fs from 'node:fs';
import path from 'node:path';
import { totp } from './authenticator.mjs';

const [state, login] = process.argv.slice(2);
const secret = JSON.parse(fs.readFileSync(path.join(state, 'authenticators.json'), 'utf8'))[login];
if (!secret) throw new Error(`${login} has set up no second factor in this demo`);
console.log(totp(secret, Math.floor(Date.now() / 30000)));
