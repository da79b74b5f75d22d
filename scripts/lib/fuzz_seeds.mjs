// Every byte string of the test vectors as one seed file: node fuzz_seeds.mjs VECTORS_DIR OUT_DIR
import fs from 'node:fs';
import path from 'node:path';
import { createHash } from 'node:crypto';

const [, , vectors, out] = process.argv;
fs.mkdirSync(out, { recursive: true });
const seen = new Set();

function visit(value) {
  if (typeof value === 'string' && value.length >= 16 && value.length % 2 === 0 && /^[0-9a-f]+$/.test(value)) {
    const bytes = Buffer.from(value, 'hex');
    const name = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
    if (!seen.has(name)) fs.writeFileSync(path.join(out, name), bytes);
    seen.add(name);
  } else if (value && typeof value === 'object') {
    Object.values(value).forEach(visit);
  }
}

for (const file of fs.readdirSync(vectors).filter((name) => name.endsWith('.json'))) {
  visit(JSON.parse(fs.readFileSync(path.join(vectors, file), 'utf8')));
}
