// Accessibility of a page as it stands, by axe-core.
import { createRequire } from 'node:module';

const SOURCE = createRequire(import.meta.url)('axe-core').source;
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/**
 * What axe finds wrong on `page`, in words: an empty array is a clean page. The source goes in once a document, and only violations
 * come back: that is a quarter of what @axe-core/playwright takes, which runs the half of it in a blank page of its own for the
 * sake of frames. Our pages have none.
 */
export async function violations(page) {
  if (page.frames().length !== 1) throw new Error('the page has frames, into which axe does not look here');
  // A colour that is still on its way from light to dark is nobody's choice.
  await page.evaluate(() => Promise.allSettled(document.getAnimations().filter((one) => one instanceof CSSTransition).map((one) => one.finished)));
  if (!await page.evaluate(() => 'axe' in window)) await page.evaluate(SOURCE);
  return page.evaluate(async (values) => {
    const found = await window.axe.run(document, { runOnly: { type: 'tag', values }, resultTypes: ['violations'] });
    return found.violations.map(({ id, nodes }) => `${id} (${nodes.map(({ target }) => target).join(', ')})`);
  }, TAGS);
}
