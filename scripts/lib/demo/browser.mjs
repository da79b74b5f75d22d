// Headless Chromium that trusts the server's own CA and nothing else of it.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createHash, X509Certificate } from 'node:crypto';
import { chromium } from 'playwright-core';

/** SHA-256 of a certificate's public key, base64: what Chromium pins. */
function spki(pemFile) {
  const certificate = new X509Certificate(fs.readFileSync(pemFile));
  return createHash('sha256').update(certificate.publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
}

/** A browser context whose only exception is the public key of the demo's CA. `options` go to newContext. */
export async function openBrowser(stack, options = {}) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'keyferry-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: '/usr/bin/chromium', headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
      '--disable-sync', `--ignore-certificate-errors-spki-list=${spki(stack.publicCa)}`],
    viewport: { width: 1280, height: 900 }, ...options,
  });
  context.setDefaultTimeout(15000);
  const close = context.close.bind(context);
  context.close = async () => { await close(); fs.rmSync(profile, { recursive: true, force: true }); };
  return context;
}
