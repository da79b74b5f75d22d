// Changes at delivery on real parts: nothing moves until the key is there, and a refusal of the directory leaves both sides alone.
import { ldapBind } from '../../scripts/lib/demo/login.mjs';
import { poll } from './company.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

/** The employee's page as a browser without script gets it. */
async function pageText(company) {
  const { body } = await company.api.request('GET', `/employees/${company.employee.id}`);
  return String(body);
}

export async function atDelivery(company, test) {
  const works = (password) => ldapBind(company.dc, company.employee.upn, password);
  const newest = async () => (await company.changes())[0];

  await test('at delivery: unchanged while the key is away, then directory and key together', async () => {
    const { ok, password: old } = await company.login();
    assert(ok, 'no login beforehand');
    const writes = await company.directoryWrites();
    await company.keyControl('unplug');
    const asked = await company.post({ mode: 'at_delivery' });
    assert(asked.status === 201 && asked.body.state === 'intent', `the API said ${asked.status} ${asked.body.state ?? asked.body.detail}`);
    const again = await company.post({ key: asked.key, mode: 'at_delivery' });
    company.requests -= 1;
    assert(again.body.id === asked.body.id, 'the repeated request made another change');
    assert(/Waiting for the key; Active Directory is unchanged/.test(await pageText(company)), 'the page does not say what it waits for');
    await company.services.server.kill();
    await company.services.server.start();
    await company.services.daemon.stop();
    await company.services.daemon.start();
    assert((await newest()).state === 'intent', `after restarts it is ${(await newest()).state}`);
    assert(await company.directoryWrites() === writes, 'the directory was written to');
    assert(await works(old), 'the old password does not work any more');
    const began = Date.now();
    await company.keyControl('plug');
    const done = await poll(async () => { const c = await newest(); return c.state === 'done' && c; }, 60000);
    assert(done, `after plugging in it stays ${(await newest()).state}: ${(await newest()).last_error}`);
    assert(done.prepared && done.prepared <= done.ad_set && done.ad_set <= done.delivered, 'the order is wrong');
    assert(await company.directoryWrites() === writes + 1, 'not one write to the directory');
    const took = Date.now() - began;
    const now = await company.login();
    assert(now.ok && now.password !== old, 'the key gives the old password');
    assert(await works(now.password), 'the directory refuses what the key gives');
    assert(!await works(old), 'the old password still works');
    return `plug-in → key has it ${took} ms`;
  });

  await test('at delivery: refused by the directory, both keep the old one and it is said', async () => {
    const { password: old } = await company.login();
    const writes = await company.directoryWrites();
    const { receipt_ctr: before } = JSON.parse(await company.keyControl('status'));
    try {
      await company.strictPolicy(true);
      const asked = await company.post({ mode: 'at_delivery' });
      assert(asked.status === 201, `the API said ${asked.status} ${asked.body.detail}`);
      const failed = await poll(async () => { const c = await newest(); return c.state === 'failed' && c; }, 60000);
      assert(failed, `it stays ${(await newest()).state}`);
      assert(failed.prepared > 0 && failed.ad_set === 0, 'the key was not prepared first');
      const text = await pageText(company);
      assert(/Active Directory and the key keep the old password/.test(text), 'the page does not say that both keep the old one');
      assert(failed.error.length > 20 && text.includes(failed.error.slice(0, 20)), `the page does not say why: ${failed.error}`);
      // HOLD and DROP: two receipts.
      const dropped = await poll(async () => JSON.parse(await company.keyControl('status')).receipt_ctr === before + 2, 60000);
      assert(dropped, 'the key was not told to drop it');
      assert(await company.directoryWrites() === writes, 'the directory was written to');
      assert(await works(old), 'the old password does not work any more');
      const { ok, password } = await company.login();
      assert(ok && password === old, 'the key gives another password');
      return failed.error;
    } finally {
      await company.strictPolicy(false);
    }
  });

  await company.change();
  await company.quiet();
  await company.check();
}
