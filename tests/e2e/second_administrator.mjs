// A colleague who administers for as long as something takes two.
import path from 'node:path';
import { openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { must } from '../../scripts/lib/demo/processes.mjs';

/** Puts somebody into a group of the directory ('addmembers'), or takes them out ('removemembers'). */
export const group = (stack, what, dn, login) =>
  must('samba-tool', ['group', what, /^CN=([^,]+)/.exec(dn)[1], login, '-H', path.join(stack.path('dc'), 'private', 'sam.ldb')]);

export const colleague = (stack) => stack.dc.people.find(({ login }) => login === 'zofia.wozniak');

/** The page stands at the approval that it has just asked for: the colleague approves it, and the page carries it out. */
export async function byTwo({ stack, signIn, look }, page) {
  await page.waitForURL(/\/approvals\/[0-9a-f]{32}$/);
  const second = colleague(stack);
  await group(stack, 'addmembers', stack.dc.administrators_group, second.login);
  try {
    const own = await openBrowser(stack);
    try {
      const other = await own.newPage();
      await signIn(other, second);
      await other.goto(page.url());
      await other.getByLabel('Reason of the decision').fill('I have talked to them');
      await look(other, 'the reset of a second factor, to be decided');
      await other.getByRole('button', { name: 'Approve' }).click();
      await other.getByText('Who asked for it may carry it out, once.').waitFor();
    } finally {
      await own.close();
    }
    await page.getByRole('button', { name: 'Carry it out' }).click();
    await page.getByText('(this one)').waitFor();
  } finally {
    await group(stack, 'removemembers', stack.dc.administrators_group, second.login);
  }
}
