// Every answer of the API that a test gets, against openapi.json: status, type of content, every member.
import fs from 'node:fs';
import path from 'node:path';
import Ajv2020 from 'ajv/dist/2020.js';
import { Api } from '../../scripts/lib/demo/api.mjs';
import { ROOT } from '../../scripts/lib/demo/stack.mjs';

const document = JSON.parse(fs.readFileSync(path.join(ROOT, 'server/api/openapi.json'), 'utf8'));
const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true });
// openapi.json is a schema's home; the words around the schemas are not the validator's business.
ajv.addVocabulary(['openapi', 'info', 'servers', 'paths', 'components']);
ajv.addSchema({ $id: 'openapi', ...document });

const pointer = (...parts) => `openapi#/${parts.map((part) => encodeURIComponent(String(part).replace(/~/g, '~0').replace(/\//g, '~1'))).join('/')}`;
const validators = new Map();
function validator(ref) {
  if (!validators.has(ref)) validators.set(ref, ajv.compile({ $ref: ref }));
  return validators.get(ref);
}

const operations = Object.entries(document.paths).flatMap(([pattern, methods]) => Object.keys(methods).map((method) => ({
  name: `${method.toUpperCase()} ${pattern}`, method, pattern, literal: pattern.split('/').filter((segment) => !segment.startsWith('{')).length,
  match: new RegExp(`^${pattern.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}$`),
}))).sort((a, b) => b.literal - a.literal);

// What is wrong with the answers to this process so far, the operations that have succeeded, and the problems that were answered.
const seen = { wrong: [], succeeded: new Set(), problems: new Set() };

/** All of that, for another process. */
export const answered = () => Object.fromEntries(Object.entries(seen).map(([name, values]) => [name, [...values]]));

// What a test with one workstation and one key cannot do without ending its own stack is in the unit tests.
const ELSEWHERE = new Set(['POST /api/v1/workstations/{id}/revoke', 'POST /api/v1/workstations/{id}/allow-login', 'POST /api/v1/workstations', 'GET /api/v1/workstations/{id}/enrolment',
  'POST /api/v1/keys/{device}/suspend', 'POST /api/v1/keys/{device}/resume', 'POST /api/v1/keys/{device}/compromise', 'POST /api/v1/keys/{device}/deactivate']);

/** Throws unless every route has answered in one of the processes that tell, and no answer was wrong; otherwise what there was, in a line. */
export function checkContract(all) {
  const together = (name) => new Set(all.flatMap((one) => one[name]));
  const wrong = [...together('wrong')], succeeded = together('succeeded');
  if (wrong.length) throw new Error(wrong.slice(0, 10).join('\n'));
  const missing = operations.map(({ name }) => name).filter((name) => !succeeded.has(name) && !ELSEWHERE.has(name));
  if (missing.length) throw new Error(`never answered: ${missing.join(', ')}`);
  return `${succeeded.size} routes, problems: ${[...together('problems')].join(' ')}`;
}

function judge(method, url, { status, headers, body }) {
  const { pathname } = url;
  if (!pathname.startsWith('/api/v1/')) return;
  const operation = operations.find((one) => one.method === method.toLowerCase() && one.match.test(pathname));
  const complain = (what) => seen.wrong.push(`${method} ${pathname} → ${status}: ${what}`);
  const type = headers['content-type']?.split(';')[0];
  if (status >= 400) {
    if (status === 431) return;  // a header that is too large is not read, so nobody knows what it was for
    if (type !== 'application/problem+json') return complain(`of type ${type}`);
    seen.problems.add(body?.code);
    const valid = validator(pointer('components', 'schemas', 'Problem'));
    if (!valid(body)) complain(ajv.errorsText(valid.errors));
    return;
  }
  if (!operation) return complain('is not in openapi.json');
  const answer = document.paths[operation.pattern][operation.method].responses[status];
  if (!answer) return complain('has a status that openapi.json does not know');
  if (type && !answer.content?.[type]) return complain(`is of type ${type}`);
  if (!type && answer.content) return complain('has no content');
  if (type === 'application/json') {
    const valid = validator(pointer('paths', operation.pattern, operation.method, 'responses', status, 'content', type, 'schema'));
    if (!valid(body)) complain(ajv.errorsText(valid.errors));
  }
  seen.succeeded.add(operation.name);
}

const request = Api.prototype.request;
Api.prototype.request = async function judged(method, address, options) {
  const answer = await request.call(this, method, address, options);
  judge(method, new URL(address, this.base), answer);
  return answer;
};
