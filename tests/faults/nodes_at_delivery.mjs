// Changes at delivery on two servers: asked for at A, while the workstation with the key is connected to B.
import { ldapBind } from '../../scripts/lib/demo/login.mjs';
import { poll } from './company.mjs';

function assert(condition, message) { if (!condition) throw new Error(message); }

export async function atDeliveryOnTwo(company, test) {
  const newest = () => company.atB(async () => (await company.changes())[0]);
  const awayFrom = (api) => poll(async () => (await api.must('GET', '/api/v1/keys')).keys.every((key) => !key.seen_at), 15000);
  /** Nothing was written but one password, which directory and key both have now. */
  const delivered = async (id, old, writes) => {
    const done = await poll(async () => { const c = await newest(); return c.id === id && c.state === 'done' && c; }, 60000);
    if (!done) { const c = await newest(); throw new Error(`it stays ${c.state}: ${c.last_error || c.error}`); }
    assert(done.prepared && done.prepared <= done.ad_set && done.ad_set <= done.delivered, 'the order is wrong');
    assert(await company.directoryWrites() === writes + 1, 'not one write to the directory');
    const { ok, password } = await company.login();
    assert(ok && password !== old, 'the key gives the old password');
    assert(await ldapBind(company.dc, company.employee.upn, password), 'the directory refuses what the key gives');
    await company.atB(() => company.check());
    return done;
  };
  const ask = async () => {
    const { password: old } = await company.login();
    await company.keyControl('unplug');
    assert(await awayFrom(company.apiA), 'A still sees the key');
    const writes = await company.directoryWrites();
    const asked = await company.post({ mode: 'at_delivery' });
    assert(asked.status === 201 && asked.body.state === 'intent', `A said ${asked.status} ${asked.body.state ?? asked.body.detail}`);
    return { id: asked.body.id, old, writes };
  };

  await test('two servers: at delivery: asked at A, prepared and finished at B, where the key is', async () => {
    const { id, old, writes } = await ask();
    await company.keyControl('plug');
    await delivered(id, old, writes);
    const seenAtA = (await company.changes()).find((change) => change.id === id);
    assert(seenAtA.state === 'done', `A says it is ${seenAtA.state}`);
  });

  await test('two servers: at delivery: A dies while it waits for the key, B does it', async () => {
    const { id, old, writes } = await ask();
    await company.services.server.kill();
    await company.keyControl('plug');
    await delivered(id, old, writes);
    await company.services.server.start();
  });

  for (const failpoint of ['server.hold.committed', 'server.change.set', 'server.change.confirmed']) {
    await test(`two servers: at delivery: B dies at ${failpoint}, and its password with it; the change comes to one end`, async () => {
      const { id, old, writes } = await ask();
      await company.services.server.stop();  // either of them may be the one that does it
      await company.rearm('b', failpoint);
      await company.keyControl('plug');
      assert(await poll(() => company.died('b'), 30000), 'never reached');
      await company.services.server.start();
      await company.rearm('b');
      const ended = await poll(async () => { const c = await newest(); return c.id === id && ['done', 'failed'].includes(c.state) && c; }, 90000, 200);
      if (!ended) { const c = await newest(); throw new Error(`it stays ${c.state}: ${c.last_error || c.error}`); }
      if (ended.state === 'done') {
        await delivered(id, old, writes);
      } else {
        // What it had prepared is dropped by the key: both sides keep the old one.
        assert(await company.directoryWrites() === writes, 'a failed change has written to the directory');
        const { ok, password } = await company.login();
        assert(ok && password === old, 'the key gives another password');
        assert(await ldapBind(company.dc, company.employee.upn, old), 'the old password does not work any more');
      }
      return ended.state;
    });
  }
}
