// What a person waits for: from the click to the first paint of each main page, and its size on the wire, in Chromium on loopback with the real server, domain controller and key.
import { openBrowser, signInOnPage } from '../../scripts/lib/demo/browser.mjs';
import { Stack } from '../../scripts/lib/demo/stack.mjs';

const ROUNDS = 9, PAINT_GOAL = 200, SIZE_GOAL = 100; // ms, kB
const stack = new Stack({ say: (text) => console.log(`  ${text}`) });
let browser = null;

const middle = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** First contentful paint (ms after the navigation began) and the document's bytes. */
async function look(page, url) {
  await page.goto(url);
  return page.evaluate(() => new Promise((done) => {
    const [navigation] = performance.getEntriesByType('navigation');
    new PerformanceObserver((list, observer) => {
      const paint = list.getEntriesByName('first-contentful-paint')[0];
      if (!paint) return;
      observer.disconnect();
      done({ paint: paint.startTime, bytes: navigation.decodedBodySize });
    }).observe({ type: 'paint', buffered: true });
  }));
}

try {
  await stack.start();
  browser = await openBrowser(stack);
  const page = await browser.newPage();
  await page.goto(stack.pageUrl);
  await signInOnPage(page, stack, stack.account('administrator'));
  await page.getByRole('heading', { name: 'Employees' }).waitFor();
  const pages = { employees: 'employees', employee: `employees/${stack.employee.id}`, 'edit password': `employees/${stack.employee.id}/password`, 'help desk': 'help-desk',
    keys: 'keys', workstations: 'workstations', reports: 'reports', audit: 'audit', sessions: 'sessions' };
  console.log(`page            first paint, middle and worst of ${ROUNDS} (goal ${PAINT_GOAL} ms)    size (goal ${SIZE_GOAL} kB)`);
  for (const [name, path] of Object.entries(pages)) {
    const seen = [];
    for (let i = 0; i < ROUNDS; i += 1) seen.push(await look(page, `${stack.pageUrl}${path}`));
    const paints = seen.map(({ paint }) => paint);
    console.log(`${name.padEnd(16)}${middle(paints).toFixed(0).padStart(5)} ms ${Math.max(...paints).toFixed(0).padStart(5)} ms ${(seen[0].bytes / 1000).toFixed(1).padStart(34)} kB`);
  }
} finally {
  await browser?.close();
  await stack.stop();
}
