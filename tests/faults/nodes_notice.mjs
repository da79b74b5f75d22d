// What a person sees of a password that was written late: the employee's page, in a real browser, in both languages.
import fs from 'node:fs';
import path from 'node:path';
import { openBrowser } from '../../scripts/lib/demo/browser.mjs';
import { ROOT } from '../../scripts/lib/demo/stack.mjs';

const PICTURES = path.join(ROOT, 'build/screenshots');

const IN = {
  en: { heading: "Nobody may know this person's password", why: 'when the change had already been given up', next: 'Next: set a new password.', badge: 'Password not known' },
  uk: { heading: 'Можливо, ніхто не знає пароля цієї людини', why: 'коли від зміни вже відмовилися', next: 'Далі: задайте новий пароль.', badge: 'Пароль невідомий' },
};

/** At B: one notice alone, which says what happened and what to do next, and no word that the change came to nothing. */
export async function lateWriteIsSeen(company) {
  const url = `https://localhost:${company.portB}/`;
  const [name, value] = company.apiB.session.cookie.split(/=(.*)/s);
  for (const [language, say] of Object.entries(IN)) {
    const browser = await openBrowser(company, { locale: language });
    try {
      await browser.addCookies([{ name, value, url, secure: true }]);
      const page = await browser.newPage();
      await page.goto(`${url}employees/${company.employee.id}`);
      fs.mkdirSync(PICTURES, { recursive: true });
      await page.screenshot({ path: path.join(PICTURES, `late-write-${language}.png`), fullPage: true });
      const notices = await page.locator('[data-part="notices"] .notice').allInnerTexts();
      if (notices.length !== 1 || ![say.heading, say.why, say.next].every((text) => notices[0].includes(text))) throw new Error(`in '${language}' the page says: ${notices.join(' | ')}`);
      const badges = await page.getByText(say.badge, { exact: true }).count();
      if (badges !== 1) throw new Error(`in '${language}' '${say.badge}' stands there ${badges} times`);
    } finally {
      await browser.close();
    }
  }
}
