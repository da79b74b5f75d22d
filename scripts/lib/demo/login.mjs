// The login side of the check: a PAM stack of its own, LDAPS binds, Kerberos.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { run } from './processes.mjs';

/**
 * The stack of docs/login.md: a person with a key is asked for PIN and touch, and the released password goes on to Kerberos; a
 * person without one is asked for the password as ever; a wrong PIN ends the attempt. `sink`, if given, is a program that
 * gets the released password on its standard input (pam_exec), so that the check knows what to look for afterwards.
 */
export function pamStack(module, socket, sink = null) {
  return `# Written by scripts/demo and removed at its end.
auth [success=1 user_unknown=ignore authinfo_unavail=ignore default=die] ${module} socket=${socket}
auth [success=${sink ? 2 : 1} default=die] pam_krb5.so no_ccache
${sink ? `auth optional pam_exec.so expose_authtok quiet ${sink}\n` : ''}auth requisite pam_krb5.so use_first_pass no_ccache
auth required pam_permit.so
account required pam_krb5.so
`;
}

/** A folder of our own, in memory where the machine has that. */
function privateFolder() { return fs.mkdtempSync(path.join(fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'keyferry-check-')); }

/** Where the check learns the released password: memory-backed, private, outside of everything that is scanned. */
export class Sink {
  constructor() {
    this.folder = privateFolder();
    this.file = path.join(this.folder, 'password');
    this.program = path.join(this.folder, 'sink');
    fs.writeFileSync(this.program, `#!/bin/sh\nexec cat >"${this.file}"\n`, { mode: 0o700 });
  }

  /** The last password that came through; pam_exec ends it with a NUL. */
  take() {
    const text = fs.readFileSync(this.file, 'utf8').replace(/\0.*$/s, '');
    fs.rmSync(this.file);
    return text;
  }

  remove() { fs.rmSync(this.folder, { recursive: true, force: true }); }
}

/** One login through PAM: {ok, output}. `answers` are what the person types, a line each. */
export async function login(service, user, answers, env) {
  const { code, stdout, stderr } = await run('pamtester', [service, user, 'authenticate', 'acct_mgmt', 'setcred'],
    { input: answers.map((a) => `${a}\n`).join(''), env, timeout: 60000 });
  return { ok: code === 0, output: stdout + stderr };
}

/** true if the directory takes this password: a bind over LDAPS, certificate verified. The password goes by a file in memory. */
export async function ldapBind(dc, upn, password) {
  const folder = privateFolder();
  try {
    const file = path.join(folder, 'password');
    fs.writeFileSync(file, password, { mode: 0o600 });
    const { code, stderr } = await run('ldapsearch',
      ['-x', '-LLL', '-H', dc.ldaps_uri, '-D', upn, '-y', file, '-s', 'base', '-b', dc.base_dn, 'dn'],
      { env: { LDAPTLS_CACERT: dc.ca_file, LDAPTLS_REQCERT: 'demand' } });
    if (code !== 0 && !/Invalid credentials/.test(stderr)) throw new Error(`ldapsearch could not ask the directory: ${stderr.trim()}`);
    return code === 0;
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/** true if Kerberos gives a ticket for this password. */
export async function kerberos(dc, login, password) {
  const cache = path.join(os.tmpdir(), `keyferry-krb5cc-${process.pid}`);
  const { code, stderr } = await run('kinit', ['-c', cache, login], { input: `${password}\n`, env: { KRB5_CONFIG: dc.krb5_config } });
  fs.rmSync(cache, { force: true });
  if (code !== 0 && !/Password incorrect|Preauthentication failed/.test(stderr)) throw new Error(`kinit could not ask: ${stderr.trim()}`);
  return code === 0;
}

