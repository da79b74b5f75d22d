// Looks for secrets where none may be: files and core images, in the encodings a leak would take.
import fs from 'node:fs';
import path from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/** The byte patterns under which `secret` could be found: raw, UTF-16LE, hex (both cases) and base64 at each of its three alignments. */
export function patterns(secret) {
  const utf8 = Buffer.from(secret, 'utf8');
  const utf16 = Buffer.from(secret, 'utf16le');
  const found = new Map([['raw', utf8], ['utf-16le', utf16]]);
  for (const [name, bytes] of [['utf-8', utf8], ['utf-16le', utf16]]) {
    found.set(`hex of ${name}`, Buffer.from(bytes.toString('hex')));
    found.set(`HEX of ${name}`, Buffer.from(bytes.toString('hex').toUpperCase()));
    for (let shift = 0; shift < 3; ++shift) {
      const padded = Buffer.concat([Buffer.alloc(shift), bytes]);
      // Only the characters that depend on nothing but the secret.
      const text = padded.toString('base64').replace(/=+$/, '');
      const start = shift === 0 ? 0 : shift + 1;
      const end = Math.floor((padded.length * 8) / 6);
      found.set(`base64+${shift} of ${name}`, Buffer.from(text.slice(start, end)));
    }
  }
  return found;
}

const CHUNK = 8 << 20;

/** Hits of `secrets` in one file: [{file, encoding, index}]. */
export function scanFile(file, secrets) {
  const wanted = secrets.flatMap((secret, index) => [...patterns(secret)].map(([encoding, bytes]) => ({ index, encoding, bytes })));
  const overlap = Math.max(...wanted.map((w) => w.bytes.length)) - 1;
  const hits = [];
  const fd = fs.openSync(file, 'r');
  try {
    const buffer = Buffer.alloc(CHUNK + overlap);
    let kept = 0;
    for (;;) {
      const n = fs.readSync(fd, buffer, kept, CHUNK, null);
      if (n === 0) break;
      const view = buffer.subarray(0, kept + n);
      for (const { index, encoding, bytes } of wanted) {
        if (view.indexOf(bytes) !== -1) hits.push({ file, encoding, index });
      }
      kept = Math.min(overlap, view.length);
      view.copy(buffer, 0, view.length - kept);
    }
  } finally {
    fs.closeSync(fd);
  }
  return hits;
}

/** Every regular file under `roots` (files or folders). */
export function filesUnder(roots) {
  const files = [];
  const visit = (entry) => {
    const stat = fs.lstatSync(entry, { throwIfNoEntry: false });
    if (stat?.isDirectory()) for (const name of unlessGone(() => fs.readdirSync(entry)) ?? []) visit(path.join(entry, name));
    else if (stat?.isFile()) files.push(entry);
  };
  roots.forEach(visit);
  return files;
}

/** What `look` returns; undefined when the file was taken away since it was listed, as running programs do. */
function unlessGone(look) {
  try { return look(); } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Scans everything under `roots`. Returns {files, bytes, hits}. */
export function scan(roots, secrets) {
  const found = { files: 0, bytes: 0, hits: [] };
  for (const file of filesUnder(roots)) {
    const hits = unlessGone(() => scanFile(file, secrets));
    if (!hits) continue;
    found.files += 1;
    found.bytes += fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    found.hits.push(...hits);
  }
  return found;
}

/** `scan` on a thread of its own: for who measures times, or stands between two programs, meanwhile. */
export function scanBeside(roots, secrets) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { scan: { roots, secrets } } });
    worker.on('message', resolve);
    worker.on('error', reject);
  });
}

if (!isMainThread && workerData?.scan) parentPort.postMessage(scan(workerData.scan.roots, workerData.scan.secrets));
