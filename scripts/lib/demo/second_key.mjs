// A second simulated key of the employee, plugged into the same workstation.
import path from 'node:path';
import { must, run, Service } from './processes.mjs';
import { PIN, UIDS, until } from './stack.mjs';

/** A Stack whose workstation has a second port. The key in it comes with `startSecondKey`. */
export const withSecondPort = (Base) => class extends Base {
  get secondSocket() { return path.join(path.dirname(this.keySocket), 'second.sock'); }

  keysSection() { return super.keysSection().replace('sockets = [', `sockets = ["${this.secondSocket}", `); }

  async startSecondKey() {
    this.services.second = new Service('keyferry-sim', this.program('keyferry-sim'),
      ['--socket', this.secondSocket, '--state', this.path('key', 'second.bin'), '--touch', 'auto', '--share'],
      { uid: UIDS.key, log: this.path('logs', 'second.log'), ready: /ready/ });
    await this.services.second.start();
  }

  /** plug | unplug | touch | status, of the second key */
  secondControl(command) { return must(this.program('keyferry-sim'), ['ctl', '--socket', this.secondSocket, command]); }

  /** The second key as the server sees it, while it belongs to nobody. */
  unassignedKey() {
    return until('the workstation sees the second key', async () => (await this.api.must('GET', '/api/v1/keys/unassigned')).keys[0]);
  }

  /** Waits until the daemon knows so many keys that are plugged in: what has not said yet which key it is opens no login. */
  daemonSees(count) {
    return until(`the daemon sees ${count} keys`, async () => {
      const { code, stdout } = await run(this.program('keyferry'), ['status', '--json', '--socket', this.daemonSocket]);
      return code === 0 && JSON.parse(stdout).keys.filter(({ standing }) => standing && standing !== 'undecided').length === count;
    });
  }

  /** While the first key is unplugged: there `pin set` knows which one is meant. */
  async setSecondPin(code) {
    await this.keyControl('unplug');
    await this.daemonSees(1);
    let why = '';
    await until('the second key has a PIN', async () => {
      const done = await run(this.program('keyferry'), ['pin', 'set', '--user', this.employee.login, '--stdin', '--socket', this.agentSocket],
        { input: `${code}\n${PIN}\n` });
      why = (done.stderr || done.stdout).trim();
      return done.code === 0;
    }, () => why);
    await this.keyControl('plug');
  }

  /** One more key for the employee, with PIN; no password yet. Its device id. */
  async addSecondKey() {
    await this.startSecondKey();
    const { device, workstation } = await this.unassignedKey();
    const begun = await this.api.must('POST', '/api/v1/enrolments', { json: { account: this.employee.id, device, workstation } });
    await until('the second key is enrolled', async () => (await this.api.must('GET', `/api/v1/enrolments/${begun.id}`)).state === 'done');
    await this.setSecondPin(begun.activation_code);
    return device;
  }

  async stop() {
    await this.services.second?.stop().catch(() => {});
    await super.stop();
  }
};
