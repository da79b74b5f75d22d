// Names and contents that no honest program sends.

const long = (text, size) => text.repeat(Math.ceil(size / text.length)).slice(0, size);

const filters = ['*', '**', '*)', '*)(objectClass=*', '*)(&', '*))%00', ')(|(cn=*))', '(', ')', '((', '))', '()', '(&)', '(|)', '(!)', '(cn=*)', '(&(cn=*)(objectClass=user))', '*)(uid=*))(|(uid=*',
  'admin*', '*admin', 'a*b', '\\', '\\\\', '\\2a', '\\28', '\\29', '\\5c', '\\00', '\\2', '\\zz', '\\2A', '&', '|', '!', '=', '>=', '<=', '~=', ':=', 'cn:caseIgnoreMatch:=x', 'member:1.2.840.113556.1.4.1941:=x', '(objectGUID=\\00)', '*()|&\'',
  '*)(sAMAccountName=Administrator', 'x)(adminCount=1', '*)(unicodePwd=*', '(memberOf=CN=Domain Admins)'];
const names = ['CN=Administrator,CN=Users,DC=corp,DC=example', 'cn=x,', ',', '+', '"', '""', '\\,', '\\+', '\\"', '<', '>', ';', '#', ' #', '# ', '=', '\\=', 'CN=', 'CN=,DC=', 'CN="a,b"', 'CN=a+OU=b', 'OU=x\\,OU=y', '<GUID=00000000000000000000000000000000>',
  '<SID=S-1-5-32-544>', '<WKGUID=a9d1ca15768811d1aded00c04fd8d5cd,DC=corp,DC=example>', 'DC=\\0A', 'CN=\\FF\\FE', '2.5.4.3=x', 'CN=#04024869', 'ldap://evil.example/??sub?(cn=*)', 'ldaps://', '@', '@@', 'x@', '@x', '\\x', 'x\\', 'CORP\\', '\\\\host\\share', 'a@b@c', '-', '--', '-1', '0', '..', '../..',
  '../../etc/passwd', '/', '//', '/etc/passwd', 'file:///etc/passwd', 'C:\\', 'NUL', 'CON', '%', '%%', '%00', '%2e%2e', '%s%s%s%n', '${jndi:ldap://x}', '{{7*7}}', '<%= 7*7 %>', '$(id)', '`id`', '; id', '| id', "' OR '1'='1", "'; DROP TABLE changes; --", '" OR ""="', "1' UNION SELECT 1--", ':name', ':1', '$1', '?',
  '<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "javascript:alert(1)", '</title>', '&lt;', '&#0;', '{"a":1}', '[]', 'null', 'undefined', 'true', 'NaN', 'Infinity', '1e309', '0x10', '__proto__', 'constructor'];
const letters = ['\u202e' + 'drowssap', 'a\u202eb', '\u2066x\u2069', '\u200b', '\u200d', '\ufeff', '\ufeffadmin', '\u00ad', 'a\u0300', 'e\u0301', 'é', 'Å', 'ß', 'ẞ', 'ı', 'İ', 'ſ', 'K', '️', '👩‍👩‍👧', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '𝐚𝐝𝐦𝐢𝐧', 'аdmin', 'αdmin', 'админ', '管理者', 'مدير', 'מנהל', 'ผู้ดูแล', 'व्यवस्थापक',
  '\ufdfa', '\u0600', '\u061c', '\u2028', '\u2029', '\u0085', '\u00a0', '\u3000', '\u180e', '\uffff', '\ufffe', '\ufffd', '\u{10ffff}', '\u{e0001}', 'ﬀ', 'Ⅷ', '①', 'a' + '\u0301'.repeat(200), '𒐫', '﷽'];
const controls = ['\0', 'a\0b', '\0admin', 'admin\0', '\x01', '\x07', '\x08', '\t', '\n', '\r', '\r\n', 'a\r\nSet-Cookie: x=y', '\x1b[31m', '\x1b]0;x\x07', '\x7f', '\x80', '\x9b', ' ', '  ', ' admin', 'admin ', 'a b', '.', 'admin.'];
const lengths = [64, 65, 128, 255, 256, 257, 512, 1024, 1500].map((size) => long('a', size)).concat([long('*', 200), long('(', 200), long('\\2a', 300), long('é', 255), long('👩', 300), long('(&', 400), long('a', 10000), long('é', 10000), long('*)(', 10000)]);
/** Bytes that are no UTF-8, percent-encoded by hand. */
const raw = ['%c0%80', '%c0%af', '%e0%80%af', '%f0%80%80%af', '%c1%bf', '%ed%a0%80', '%ed%bf%bf', '%f4%90%80%80', '%f8%88%80%80%80', '%ff', '%fe', '%80', '%bf', '%c3', '%e2%82', '%f0%9f%98', '%', '%1', '%zz', '%u0041', '%00', '%0d%0a', 'a%00b', '%c3%28', '%2', '%25zz%'].map((text) => ({ raw: text }));

export const hostileNames = [...new Set([...filters, ...names, ...letters, ...controls, ...lengths]), ...raw];

const json = (body) => ({ body, type: 'application/json' });
export const hostileBodies = [
  '', ' ', '{', '}', '[', '[]', 'null', 'true', '1', '"x"', '{}x', '{"a"}', '{"a":}', '{a:1}', "{'a':1}", '{"a":1,}', '{,}', '{"a":1 "b":2}', '{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":NaN}', '{"a":"\\x"}', '{"a":"\\ud800"}', '{"a":"\u0001"}', '// x\n{}', '{/**/}',
  '\ufeff{}', '{"reason":"a","reason":"b"}', '{"generate":true,"generate":true}', '{"account":"a","account":"b","device":"c","workstation":"d"}', '{"name":"a","name":"b","scopes":[],"days":1}',
  '{"workstations":[{"id":"a","id":"b"}]}', '{"reason":"x","zz":1}', '{"generate":true,"password":"x"}', '{"generate":true,"__proto__":{}}', '{"constructor":1}', '{"":1}', '{"reason":null}', '{"reason":1}', '{"reason":["x"]}', '{"reason":{"a":"b"}}', '{"reason":""}', `{"reason":"${'x'.repeat(501)}"}`,
  '{"generate":"true"}', '{"generate":1}', '{"generate":false}', '{"generate":null}', '{"name":"x","scopes":["all"],"days":1}', '{"name":"x","scopes":"people:read","days":1}', '{"name":"x","scopes":["people:read"],"days":1e3}', '{"name":"x","scopes":["people:read"],"days":"1"}',
  '{"name":"x","scopes":["people:read"],"days":-1}', '{"name":"x","scopes":["people:read"],"days":99999999999999999999}', '{"workstations":[1]}', '{"workstations":{}}', '{"workstations":["x"]}', `{"workstations":[${'{},'.repeat(600)}{}]}`,
  `{"a":${'['.repeat(2000)}${']'.repeat(2000)}}`, `${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}`, `{"a":"${'x'.repeat(60000)}"}`, `{${Array.from({ length: 200 }, (_, i) => `"k${i}":1`).join(',')}}`,
].map(json).concat([
  json(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), json(Buffer.from([0x7b, 0x22, 0xc0, 0x80, 0x22, 0x3a, 0x31, 0x7d])), json(Buffer.from([0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00])), json(Buffer.alloc(1000)), json(Buffer.alloc(70000, 0x20)),
  { body: '{}', type: 'text/plain' }, { body: '{}', type: '' }, { body: '<a/>', type: 'application/xml' }, { body: '{}', type: 'application/json5' }, { body: 'a=1', type: 'multipart/form-data; boundary=x' },
  { body: 'generate=true&generate=true', type: 'application/x-www-form-urlencoded' }, { body: 'generate=%', type: 'application/x-www-form-urlencoded' }, { body: 'a[]=1&b=%ff', type: 'application/x-www-form-urlencoded' },
]);
