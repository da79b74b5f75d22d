// Outside of the guest: a Samba domain controller on this machine, which costs an emulated processor most of a minute; login.mjs in a guest that
// reaches its LDAPS and Kerberos ports and nothing else.
//   login_guest.mjs PRESET SERVER_PRESET [ROAD…]
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { must } from '../../scripts/lib/demo/processes.mjs';
import { ROOT } from '../../scripts/lib/demo/stack.mjs';

const DC = path.join(ROOT, 'scripts/dc');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keyferry-vm-login-'));
const tree = path.join(folder, 'dc'), out = path.join(folder, 'out');
// It ends by itself when this pipe is closed, so with us. cat stays, since Node closes the pipe to a child that has ended.
const directory = spawn('bash', ['-c', '"$0" start --follow-stdin "$1" && echo up && exec cat', DC, tree], { stdio: ['pipe', 'pipe', 'inherit'] });
try {
  await new Promise((up, fail) => {
    directory.stdout.once('data', up);
    directory.once('close', (code) => fail(new Error(`the domain controller does not start (exit ${code})`)));
  });
  const facts = JSON.parse(await must(DC, ['facts', '--json', tree]));
  // In the guest it has the name in its certificate, and an address of the guest's own.
  const [, host] = /DNS:([^,]+)/.exec(new X509Certificate(fs.readFileSync(path.join(tree, 'tls/dc.pem'))).subjectAltName);
  fs.mkdirSync(out);
  fs.copyFileSync(facts.ca_file, path.join(out, 'directory-ca.pem'));
  // What is forwarded is TCP.
  fs.writeFileSync(path.join(out, 'krb5.conf'),
    fs.readFileSync(facts.krb5_config, 'utf8').replaceAll(facts.ip, host).replace('[libdefaults]\n', '$&  udp_preference_limit = 1\n'));
  fs.writeFileSync(path.join(out, 'directory.json'), JSON.stringify({ ...facts, host, ldaps_uri: `ldaps://${host}`, ca_file: '/mnt/out/directory-ca.pem',
    krb5_config: '/mnt/out/krb5.conf' }), { mode: 0o600 });
  const guest = spawn(path.join(ROOT, 'scripts/vm'), ['run', '--mem', '2048', '--timeout', '400', '--out', out, ...['636', '88'].flatMap((port) => ['--forward', `${facts.ip}:${port}`]),
    '--', 'tests/vm/roads', 'with-ble', 'node', 'tests/vm/login.mjs', ...process.argv.slice(2)], { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = await once(guest, 'exit');
  process.exitCode = code ?? 128;
} finally {
  await must(DC, ['wipe', tree]);
  directory.stdin.end();
  fs.rmSync(folder, { recursive: true });
}
