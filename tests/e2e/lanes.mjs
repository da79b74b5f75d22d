// Which tests run side by side: each lane has a company, a workstation, a key and a browser of its own (lane.mjs).
//
// The rule: what a test leaves behind (a password, a key, somebody's second factor, a token) is met by those after it in its lane and by nobody else. So a group
// that needs, or cannot bear, what another left stands in the lane of that one, on the right side of it:
// * changes before everything that gives the employee another password; api before everything that makes tokens;
// * fido after factor, which resets the auditor's second factor, and roles, which sets it up anew, after both;
// * lastKey at the end: afterwards the employee has no key.
// What has no such ties goes where both lanes last about equally long.
import { alarmTests } from './alarm.mjs';
import { apiTests, otherRouteTests } from './api.mjs';
import { attackTests } from './attacks.mjs';
import { changeTests } from './changes.mjs';
import { factorTests } from './factor.mjs';
import { fidoTests } from './fido.mjs';
import { fourEyesTests } from './four_eyes.mjs';
import { helpDeskTests } from './help_desk.mjs';
import { methodTests } from './help_desk_methods.mjs';
import { keyTests, lastKeyTests } from './keys.mjs';
import { languageTests } from './languages.mjs';
import { ownPageTests } from './me.mjs';
import { noticeTests } from './notices.mjs';
import { pageTests } from './pages.mjs';
import { reportTests } from './reports.mjs';
import { roleTests } from './roles.mjs';
import { singleSignOnTests } from './single_sign_on.mjs';
import { sourceTests } from './sources.mjs';
import { webhookTests } from './webhook.mjs';

export const LANES = {
  pages: [pageTests, changeTests, webhookTests, reportTests, languageTests, keyTests, sourceTests, apiTests, attackTests, fourEyesTests, alarmTests, lastKeyTests, otherRouteTests],
  people: [helpDeskTests, methodTests, factorTests, fidoTests, singleSignOnTests, ownPageTests, roleTests, noticeTests],
};

// Stands for everything there is once a lane runs: groups are asked for the names of their tests before.
const anything = new Proxy(() => {}, { get: (_, name) => (name === Symbol.toPrimitive ? () => '' : anything), apply: () => anything });

/** The names of a lane's tests, in their order; nothing is started for it. */
export function namesIn(lane) {
  const names = [];
  const test = (name) => { names.push(name); };
  for (const group of LANES[lane]) for (const run of group({ stack: anything, test, signIn: anything, axe: anything, picture: anything, admin: anything, send: anything })) run();
  return names;
}
