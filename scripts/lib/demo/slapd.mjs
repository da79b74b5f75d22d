// A real OpenLDAP server beside the domain: a second password source of a Stack's server, set up as docs/operations.md says.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { freePort, must, run } from './processes.mjs';
import { UIDS } from './stack.mjs';

const BASE = 'dc=lab,dc=test';
const PEOPLE = `ou=people,${BASE}`;
const SERVICE = `cn=keyferry,ou=services,${BASE}`;
const ROOT_DN = `cn=root,${BASE}`;
const SERVICE_PASSWORD = 'lab-service-secret-1';
const ROOT_PASSWORD = 'lab-root-secret-1';
const ADMINISTRATORS = `cn=administrators,ou=groups,${BASE}`;
const DEFAULT_POLICY = `cn=default,ou=policies,${BASE}`;
export const FIRST_PASSWORD = 'Lab-first-password-1';

export class Slapd {
  constructor(folder) {
    this.folder = folder;
    this.child = null;
  }

  file(name) { return path.join(this.folder, name); }
  dn(login) { return `uid=${login},${PEOPLE}`; }
  get uri() { return `ldaps://127.0.0.1:${this.port}`; }
  get caFile() { return this.file('ca.pem'); }

  /** As scripts/dc tells of a domain: what a server needs whose only directory this is. */
  facts(people) {
    return { ldaps_uri: this.uri, ca_file: this.caFile, base_dn: BASE, people_dn: PEOPLE, service_upn: SERVICE, service_password: SERVICE_PASSWORD,
      administrators_group: ADMINISTRATORS, help_desk_group: ADMINISTRATORS, default_policy: DEFAULT_POLICY,
      people: people.map((one) => ({ ...one, upn: this.dn(one.login), display_name: one.login, password: FIRST_PASSWORD })) };
  }

  /** `people`: `{login, role}` of who has an account there, with FIRST_PASSWORD. */
  async start(people = []) {
    if (!fs.existsSync(this.file('slapd.conf'))) await this.make(people);
    this.child = spawn('/usr/sbin/slapd', ['-f', this.file('slapd.conf'), '-h', this.uri, '-d', '0'], { stdio: 'ignore' });
    this.exited = new Promise((resolve) => this.child.on('close', resolve));
    for (let i = 0; i < 1000; i += 1) {
      if (await this.answers()) return;
      if (this.child.exitCode !== null) throw new Error('slapd ended at once');
      await new Promise((resolve) => { setTimeout(resolve, 10); });
    }
    throw new Error('slapd does not answer');
  }

  answers() {
    return new Promise((resolve) => {
      const socket = net.connect(this.port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
      socket.on('error', () => resolve(false));
    });
  }

  async stop() {
    if (!this.child) return;
    this.child.kill('SIGCONT');
    this.child.kill('SIGTERM');
    await this.exited;
    this.child = null;
  }

  async make(people) {
    fs.mkdirSync(this.file('db'), { recursive: true, mode: 0o700 });
    this.port = await freePort();
    const at = (name) => this.file(name);
    const key = (name) => ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', at(name)];
    fs.writeFileSync(at('extensions'), 'subjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n');
    await must('openssl', ['req', '-x509', '-days', '30', '-subj', '/CN=Laboratory CA', '-addext', 'basicConstraints=critical,CA:TRUE',
      '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-out', this.caFile, ...key('ca.key')]);
    await must('openssl', ['req', '-subj', '/CN=laboratory', '-out', at('server.csr'), ...key('server.key')]);
    await must('openssl', ['x509', '-req', '-days', '30', '-in', at('server.csr'), '-CA', this.caFile, '-CAkey', at('ca.key'), '-CAcreateserial',
      '-extfile', at('extensions'), '-out', at('server.pem')]);
    fs.writeFileSync(at('slapd.conf'), this.configuration(), { mode: 0o600 });
    await must('slapadd', ['-q', '-f', at('slapd.conf')], { input: this.data(people) });
  }

  configuration() {
    const service = `by dn.exact="${SERVICE}"`;
    return `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload argon2
password-hash {ARGON2}
TLSCACertificateFile ${this.caFile}
TLSCertificateFile ${this.file('server.pem')}
TLSCertificateKeyFile ${this.file('server.key')}
security simple_bind=112 update_ssf=112
database mdb
maxsize 67108864
dbnosync
directory ${this.file('db')}
suffix "${BASE}"
rootdn "${ROOT_DN}"
rootpw ${ROOT_PASSWORD}
index objectClass,entryUUID,uid,mail eq
access to dn.subtree="${PEOPLE}" attrs=userPassword ${service} =w by self =xw by anonymous auth by * none
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="${PEOPLE}" attrs=pwdReset,pwdAccountLockedTime ${service} write by * none
access to dn.base="${BASE}" by users read by * none
access to * ${service} read by self read by * none
overlay ppolicy
ppolicy_default "${DEFAULT_POLICY}"
ppolicy_use_lockout
`;
  }

  data(accounts) {
    const units = ['people', 'services', 'policies', 'groups'].map((name) => `dn: ou=${name},${BASE}\nobjectClass: organizationalUnit\nou: ${name}\n\n`);
    const administrators = accounts.filter(({ role }) => role === 'administrator').map(({ login }) => `member: ${this.dn(login)}\n`);
    const group = administrators.length ? `dn: ${ADMINISTRATORS}\nobjectClass: groupOfNames\ncn: administrators\n${administrators.join('')}\n` : '';
    const people = accounts.map(({ login }) => `dn: ${this.dn(login)}\nobjectClass: inetOrgPerson\nuid: ${login}\ncn: ${login}\nsn: ${login}\nuserPassword: ${FIRST_PASSWORD}\n\n`);
    return `dn: ${BASE}\nobjectClass: domain\ndc: lab\n\n${units.join('')}dn: ${DEFAULT_POLICY}
objectClass: pwdPolicy
objectClass: device
cn: default
pwdAttribute: userPassword
pwdCheckQuality: 2
pwdMinLength: 10
pwdInHistory: 1000
pwdMustChange: TRUE
pwdAllowUserChange: TRUE

dn: ${SERVICE}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: keyferry
userPassword: ${SERVICE_PASSWORD}

${people.join('')}${group}`;
  }

  get env() { return { LDAPTLS_CACERT: this.caFile, LDAPTLS_REQCERT: 'demand' }; }

  /** Sets a password with another tool. */
  setPassword(login, password) {
    return must('ldappasswd', ['-x', '-H', this.uri, '-D', SERVICE, '-w', SERVICE_PASSWORD, '-s', password, this.dn(login)], { env: this.env });
  }

  /** Whether it takes the password, which goes to the client by a file. */
  async binds(login, password) {
    const file = this.file('tried');
    fs.writeFileSync(file, password, { mode: 0o600 });
    try {
      const { code, stderr } = await run('ldapwhoami', ['-x', '-H', this.uri, '-D', this.dn(login), '-y', file], { env: this.env });
      if (code !== 0 && !/Invalid credentials/.test(stderr)) throw new Error(`ldapwhoami could not ask slapd: ${stderr.trim()}`);
      return code === 0;
    } finally {
      fs.rmSync(file);
    }
  }

  /** While it is on, it refuses every password that a server can make. */
  async strictPolicy(on) {
    await must('ldapmodify', ['-x', '-H', this.uri, '-D', ROOT_DN, '-w', ROOT_PASSWORD],
      { env: this.env, input: `dn: ${DEFAULT_POLICY}\nchangetype: modify\nreplace: pwdMinLength\npwdMinLength: ${on ? 200 : 10}\n\n` });
  }

  /** How many passwords the account has had before this one. */
  async passwords(login) {
    const text = await must('ldapsearch', ['-x', '-H', this.uri, '-D', ROOT_DN, '-w', ROOT_PASSWORD, '-LLL', '-o', 'ldif-wrap=no', '-s', 'base', '-b', this.dn(login),
      'pwdHistory'], { env: this.env });
    return text.split('\n').filter((line) => line.startsWith('pwdHistory:')).length;
  }
}

/** A Stack (or what is made from one) whose server has a slapd as a linked source by the name of Lab. */
export const linked = (Base, { preset = false } = {}) => class extends Base {
  async startDirectory() {
    await super.startDirectory();
    this.lab ??= new Slapd(this.path('lab'));
    await this.lab.start(this.dc.people.filter(({ role }) => role === 'employee_with_key').map(({ login }) => ({ login })));
    this.say(`password source Lab: a slapd answers on ${this.lab.uri}`);
  }

  get labUri() { return this.lab.uri; }

  serverConfig() {
    const ca = this.path('server', 'lab-ca.pem'), password = this.path('server', 'lab-password');
    fs.copyFileSync(this.lab.caFile, ca);
    fs.chownSync(ca, UIDS.server, UIDS.server);
    this.secret(password, SERVICE_PASSWORD, UIDS.server);
    return `${super.serverConfig()}
[[source]]
name = "Lab"
kind = "openldap"
uris = ["${this.labUri}"]
ca_file = "${ca}"
base_dn = "${BASE}"
people_dn = "${PEOPLE}"
bind_name = "${SERVICE}"
password_file = "${password}"
default_policy = "${DEFAULT_POLICY}"
timeout_ms = 3000
default = ${preset}
`;
  }

  async stop() {
    await this.lab?.stop();
    await super.stop();
  }
};
