// OpenLDAP as the only directory: the main kills, and a bad network before it.
import fs from 'node:fs';
import path from 'node:path';
import { Slapd } from '../../scripts/lib/demo/slapd.mjs';
import { Company } from './company.mjs';
import { killAt } from './kills.mjs';
import { atEachRequest, DirectoryProxy, faultyChange, KINDS } from './network.mjs';

const NOW = ['server.change.pinned', 'server.change.begun', 'server.directory.before_send', 'server.directory.sent', 'server.directory.answered', 'server.change.set',
  'server.confirm.before_commit', 'server.change.confirmed', 'server.change.handed_out', 'server.receipt.before_commit'];
const AT_DELIVERY = ['server.wait.begun', 'server.held.attempted', 'server.change.set', 'server.commit.sealed', 'server.change.confirmed'];
const REFUSED = ['server.change.refused', 'server.close.before_commit', 'server.drop.committed'];

class OpenLdapCompany extends Company {
  // Within seconds of an account's last change the server waits for up to one more, so that the time tells them apart.
  get directoryTimeout() { return 3000; }

  async startDirectory() {
    const people = [{ role: 'administrator', login: 'olena.admin' }, { role: 'employee_with_key', login: 'taras.shevchuk' }];
    this.slapd ??= new Slapd(this.path('slapd'));
    await this.slapd.start(people);
    this.dc = this.slapd.facts(people);
    this.env = {};
    this.proxy = new DirectoryProxy(this.dc.ldaps_uri);
    this.directoryUri = await this.proxy.listen();
  }

  serverConfig() {
    return super.serverConfig().replace('[directory]\n', `[directory]\nkind = "openldap"\ndefault_policy = "${this.dc.default_policy}"\n`);
  }

  /** There is no Kerberos: what the key gives goes to the sink alone, and the checker binds with it. */
  writePamFile(sink = null) {
    this.pamFile = `/etc/pam.d/${this.pamService}`;
    const module = path.join(this.bin, '../lib/pam_keyferry.so');
    fs.writeFileSync(this.pamFile, `# Written by tests/faults and removed at its end.
auth requisite ${module} socket=${this.agentSocket}
${sink ? `auth optional pam_exec.so expose_authtok quiet ${sink}\n` : ''}auth required pam_permit.so
account required pam_permit.so
`, { mode: 0o644 });
  }

  directoryWrites() { return this.slapd.passwords(this.employee.login); }
  async strictPolicy(on) {
    this.strict ||= on;
    await this.slapd.strictPolicy(on);
    this.strict = on;
  }

  async stop() {
    await super.stop();
    this.proxy?.close();
    await this.slapd?.stop();
  }
}

export async function openLdapAlone(withCompany, test) {
  await withCompany(async (company) => {
    await test('openldap: the key gives what slapd takes', () => company.check());
    const rounds = [...NOW.map((failpoint) => ({ failpoint, mode: 'now' })), ...AT_DELIVERY.map((failpoint) => ({ failpoint, mode: 'at_delivery' })),
      ...REFUSED.map((failpoint) => ({ failpoint, mode: 'at_delivery', refused: true }))];
    for (const round of rounds) {
      const name = `openldap: killed at ${round.failpoint}${round.mode === 'now' ? '' : ', at delivery'}${round.refused ? ', refused' : ''}`;
      await test(name, () => killAt(company, round));
    }
    await test('openldap: the checker sees a password that another tool has set', async () => {
      await company.slapd.setPassword(company.employee.login, 'Set-by-another-tool-1');
      const broken = await company.check().then(() => null, (error) => error.message);
      if (!/^I1: .*I5: /s.test(broken ?? '')) throw new Error(`it says: ${broken}`);
      await company.change();
      await company.quiet();
      company.writes = await company.directoryWrites();
      company.requests = 0;
      await company.check();
      return broken.slice(0, 60);
    });
    await test('openldap: the audit trail is whole', () => company.checkAudit());
  }, OpenLdapCompany);
}

/** The same organisation with each request of a change met by each fault. */
export async function networkBeforeOpenLdap(withCompany, test) {
  await withCompany(async (company) => {
    for (const kind of Object.keys(KINDS)) {
      await test(`openldap: network before it: ${kind}`, async () => {
        return atEachRequest((n) => faultyChange(company, kind, n));
      });
    }
    await test('openldap: network before it: the audit trail is whole', () => company.checkAudit());
  }, OpenLdapCompany);
}
