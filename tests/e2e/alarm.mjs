// The alarm with the real daemon, login agent and PAM module: nothing is delivered or released, and two persons end it.
import fs from 'node:fs';
import { openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { login, Sink } from '../../scripts/lib/demo/login.mjs';
import { run } from '../../scripts/lib/demo/processes.mjs';
import { PIN, UIDS, until } from '../../scripts/lib/demo/stack.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

export function alarmTests({ stack, test, signIn, axe, picture, admin }) {
  const url = `${stack.pageUrl}alarm`;
  const attempt = () => login(stack.pamService, stack.employee.login, [PIN], stack.env);
  const set = () => stack.api.request('POST', `/api/v1/employees/${stack.employee.id}/password`, { json: { generate: true, reason: 'e2e: alarm' } });
  const told = (stands) => until(`keyferryd ${stands ? 'knows of the alarm' : 'knows that it has ended'}`, async () => {
    const { stdout } = await run(stack.program('keyferry'), ['status', '--json', '--socket', stack.daemonSocket], { env: stack.env });
    return JSON.parse(stdout).alarm.stands === stands;
  });
  const delivered = () => until('it is on the key', async () => (await stack.api.must('GET', `/api/v1/employees/${stack.employee.id}/changes`)).changes[0].state === 'done');
  let known = '', sink;
  /** The key releases nothing, the person is told why, and gets in with the password. */
  const refused = async (when) => {
    const { ok, output } = await login(stack.pamService, stack.employee.login, [known], stack.env);
    assert(/raised the alarm/.test(output), `${when}: nobody is told why: ${output.trim().split('\n').pop()}`);
    assert(!fs.existsSync(sink.file), `${when}: the key released its password`);
    assert(ok, `${when}: the person is locked out: ${output.trim().split('\n').pop()}`);
  };
  const officer = async (work) => {
    const browser = await openBrowser(stack);
    try {
      const page = await browser.newPage();
      await signIn(page, stack.account('key_officer'));
      await work(page);
    } finally {
      await browser.close();
    }
  };

  return [
    () => test('alarm: one action stops deliveries and releases, through restarts of server and daemon', async (page) => {
      sink = new Sink();
      stack.writePamFile(sink.program);
      await signIn(page, admin);
      const { status, body } = await set();
      assert(status === 201, `the API said ${status} ${body.detail}`);
      await delivered();
      assert((await attempt()).ok, 'the key does not log in before the alarm');
      known = sink.take();
      await page.goto(url);
      await axe(page, 'no alarm');
      await picture(page, 'alarm-none');
      await page.getByLabel('Reason').fill('e2e: a bag of keys is gone');
      await page.getByRole('button', { name: 'Raise the alarm' }).click();
      await page.getByText('e2e: a bag of keys is gone').waitFor();
      await page.getByText('Connected workstations that were told: 1.').waitFor();
      await axe(page, 'the alarm');
      await picture(page, 'alarm-raised');
      await page.setViewportSize({ width: 390, height: 900 });
      await page.emulateMedia({ colorScheme: 'dark' });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert(overflow <= 0, `the alarm on a phone scrolls sideways by ${overflow} px`);
      await axe(page, 'the alarm on a phone');
      await picture(page, 'alarm-phone');
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.emulateMedia({ colorScheme: 'light' });
      await page.goto(stack.employeeUrl);
      await page.getByRole('alert').getByText('The alarm has been raised').waitFor();
      await axe(page, 'an employee while the alarm stands');

      await told(true);
      await refused('at once');
      const answer = await set();
      assert(answer.status === 409 && /alarm/.test(answer.body.detail), `a password: ${answer.status} ${answer.body.detail}`);
      await stack.services.daemon.stop();
      await stack.services.server.stop();
      await stack.services.daemon.start();
      await told(true);  // without the server: from its own disk
      await refused('with the server away');
      await stack.services.server.start();
      await until('the workstation is back', async () => (await stack.api.must('GET', '/api/v1/workstations')).workstations.some((w) => w.connected));
      await told(true);
      await refused('after restarts');
      assert((await stack.api.must('GET', '/api/v1/alarm')).state === 'on', 'the API says that none stands');
    }),

    () => test('alarm: the same person cannot end it twice over; a second person does, and all goes on', async (page) => {
      await signIn(page, admin);
      await page.goto(url);
      const before = await stack.api.must('GET', '/api/v1/alarm');
      await page.getByRole('button', { name: 'Agree that it may end' }).click();
      await page.getByText('This is your own agreement').waitFor();
      assert(await page.getByRole('button', { name: /end the alarm/ }).count() === 0, 'the same person is offered to end it');
      await axe(page, 'an agreement of one\'s own');
      const now = await stack.api.must('GET', '/api/v1/alarm');
      for (const [step, status] of [[now.version, 403], [before.version, 409]]) {
        const answer = await stack.api.request('POST', '/api/v1/alarm/end', { json: { number: now.number, version: step } });
        assert(answer.status === status, `version ${step}: ${answer.status} ${answer.body.detail}`);
      }
      // Taken back and given anew, as a person who changes their mind does.
      await stack.api.must('POST', '/api/v1/alarm/keep', { json: { number: now.number, version: now.version } });
      await page.goto(url);
      await page.getByRole('button', { name: 'Agree that it may end' }).click();
      await page.getByText('This is your own agreement').waitFor();
      await refused('with one agreement');
      await officer(async (second) => {
        await second.goto(url);
        await second.getByText(`${admin.login} agrees.`).waitFor();
        await axe(second, 'an agreement of somebody else');
        await picture(second, 'alarm-second-person');
        await second.getByRole('button', { name: 'Agree and end the alarm' }).click();
        await second.getByRole('heading', { name: 'No alarm stands' }).waitFor();
        await axe(second, 'a former alarm');
        await picture(second, 'alarm-ended');
        // Once more, as a program does it.
        const { number, version } = await stack.api.must('POST', '/api/v1/alarm', { json: { reason: 'e2e: once more' } });
        const { state } = await stack.api.must('POST', '/api/v1/alarm/end', { json: { number, version } });
        assert(state === 'on', `one agreement made it ${state}`);
        await second.goto(url);
        await second.getByRole('button', { name: 'Agree and end the alarm' }).click();
        await second.getByRole('heading', { name: 'No alarm stands' }).waitFor();
      });
      await told(false);
      assert((await attempt()).ok, 'the key does not log in after the alarm');
      sink.take();
      assert((await set()).status === 201, 'no password is set after the alarm');
      await delivered();
      stack.writePamFile();
      sink.remove();
    }),

    () => test('alarm: where only one person may end it, the server\'s console gives the other word, once', async (page) => {
      await signIn(page, admin);
      await stack.api.must('POST', '/api/v1/alarm', { json: { reason: 'e2e: nobody else is there' } });
      await stack.services.server.stop();
      const agree = () => run(stack.program('keyferry-server'), ['alarm', 'agree', '--config', stack.path('server', 'keyferry-server.toml')], { uid: UIDS.server, env: stack.env });
      const first = await agree(), second = await agree();
      await stack.services.server.start();
      assert(first.code === 0 && /^Agreed\./.test(first.stdout), `${first.code}: ${first.stdout}${first.stderr}`);
      assert(second.code === 1 && /The console has agreed already/.test(second.stderr), `${second.code}: ${second.stdout}${second.stderr}`);
      await page.goto(url);
      await page.getByText('console agrees.').waitFor();
      await page.getByRole('button', { name: 'Agree and end the alarm' }).click();
      await page.getByRole('heading', { name: 'No alarm stands' }).waitFor();
      await told(false);
    }),
  ];
}
