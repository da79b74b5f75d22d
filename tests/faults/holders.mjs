// I8: no two servers drive one change, and none has a lease that is another's.
//
// The database itself writes down who did what: each server has a role of its own there, and triggers that only this test puts in
// keep every step of a change and of a lease, in their order, with role and time. Steps that were rolled back are not among them.
// `broken` reads such a record from its beginning.
import path from 'node:path';
import { must } from '../../scripts/lib/demo/processes.mjs';
import { ROOT } from '../../scripts/lib/demo/stack.mjs';

// Before a lease ends the server that has it gives it up: one that is renewed later than this is another tenure.
const MARGIN = 2000;
const OPEN = ['attempt', 'unknown'];

const INSTALL = `
CREATE SCHEMA witness;
CREATE TABLE witness.steps (n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at BIGINT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, was JSONB, now JSONB);
CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE was JSONB; now JSONB;
BEGIN
  IF TG_OP <> 'INSERT' THEN SELECT jsonb_object_agg(key, value) INTO was FROM jsonb_each(to_jsonb(OLD)) WHERE key = ANY (TG_ARGV); END IF;
  IF TG_OP <> 'DELETE' THEN SELECT jsonb_object_agg(key, value) INTO now FROM jsonb_each(to_jsonb(NEW)) WHERE key = ANY (TG_ARGV); END IF;
  IF was IS DISTINCT FROM now THEN
    INSERT INTO witness.steps (at, who, what, was, now) VALUES (EXTRACT(EPOCH FROM clock_timestamp()) * 1000, session_user, TG_TABLE_NAME, was, now);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER INSERT OR UPDATE OR DELETE ON changes FOR EACH ROW EXECUTE FUNCTION witness.note('change_id', 'state', 'owner', 'job_id');
CREATE TRIGGER witness AFTER INSERT OR UPDATE OR DELETE ON nodes FOR EACH ROW EXECUTE FUNCTION witness.note('node_id', 'name', 'alive_until');
CREATE TRIGGER witness AFTER INSERT OR UPDATE OR DELETE ON leases FOR EACH ROW EXECUTE FUNCTION witness.note('name', 'holder', 'held_until');
INSERT INTO witness.steps (at, who, what, now) SELECT 0, session_user, 'nodes', jsonb_build_object('node_id', node_id, 'name', name, 'alive_until', alive_until) FROM nodes;
`;
const RECORD = "SELECT COALESCE(json_agg(to_json(s) ORDER BY n), '[]') FROM witness.steps s;";

/** Reads the whole record: {problems, settled: {server: how many}, takenOver}. */
export function broken(steps) {
  const problems = [];
  const nodes = new Map();    // id → {who, name, tenures: [end, …]}; the last end is the present tenure's
  const present = new Map();  // who → id of its node
  const changes = new Map();  // id → {node, tenure} that has it, or the node that made the last HOLD
  const settled = {};
  let takenOver = 0;
  const tenureOf = (id) => ({ id, tenure: (nodes.get(id)?.tenures.length ?? 0) - 1 });
  /** Until when the tenure lasts; 0 when there is none. */
  const endOf = ({ id, tenure }) => nodes.get(id)?.tenures[tenure] ?? 0;

  const onNode = ({ n, at, who, was, now }) => {
    if (!was) {
      for (const [, other] of nodes) {
        if (other.name === now.name && other.who !== who && other.tenures.at(-1) > at) problems.push(`step ${n}: ${who} takes the name of ${other.who}, which is alive`);
      }
      nodes.set(now.node_id, { who, name: now.name, tenures: [...(nodes.get(now.node_id)?.tenures ?? []), now.alive_until] });
      present.set(who, now.node_id);
      return;
    }
    const node = nodes.get(was.node_id);
    if (!now) {
      if (node.who !== who && was.alive_until > at) problems.push(`step ${n}: ${who} ends the lease of ${node.who} ${was.alive_until - at} ms early`);
      node.tenures[node.tenures.length - 1] = Math.min(node.tenures.at(-1), at);
    } else {
      if (node.who !== who) problems.push(`step ${n}: ${who} renews the lease of ${node.who}`);
      if (at < was.alive_until - MARGIN) node.tenures[node.tenures.length - 1] = now.alive_until;
      else node.tenures.push(now.alive_until);
    }
  };
  const onLease = ({ n, at, who, was, now }) => {
    if (was && now && was.holder !== now.holder && was.held_until > at) problems.push(`step ${n}: ${who} takes the lease '${was.name}' ${was.held_until - at} ms early`);
  };
  const onChange = ({ n, at, who, was, now }) => {
    const id = (now ?? was).change_id;
    const say = (text) => problems.push(`step ${n}: ${who} ${text} (change ${id}, ${was?.state ?? 'new'} → ${now?.state ?? 'gone'})`);
    if (!now) return say('removes a change');
    const change = changes.get(id) ?? {};
    changes.set(id, change);
    const doer = present.get(who);
    // Whoever has it must be the one that does it, or must have come to the end of that tenure.
    const moved = was && (was.state !== now.state || was.owner !== now.owner);
    if (moved && change.holder && change.holder.id !== doer) {
      const left = endOf(change.holder) - at;
      if (left > 0) say(`moves what ${nodes.get(change.holder.id).who} has for ${left} ms more`);
      else takenOver += 1;
    }
    if (moved && !OPEN.includes(was.state) && !['intent', 'held'].includes(was.state) && !(was.state === 'confirmed' && now.state === 'done')) say('moves what was settled');
    if (now.owner && was?.owner !== now.owner) {
      if (nodes.get(now.owner)?.who !== who) say('gives it to another server');
      change.holder = tenureOf(now.owner);
    }
    // The password that a key was prepared with is in one process alone.
    if (was?.state === 'held' && now.state === 'attempt' && change.prepared !== doer) say(`asks the directory after a HOLD of ${nodes.get(change.prepared)?.who}`);
    if (now.state === 'held' && was?.job_id !== now.job_id) change.prepared = doer;
    if (was && OPEN.includes(was.state) && !OPEN.includes(now.state)) {
      settled[who] = (settled[who] ?? 0) + 1;
      change.holder = null;  // what comes now is the key's doing, through whichever server it is connected to
    }
  };
  const readers = { nodes: onNode, leases: onLease, changes: onChange };
  for (const step of steps) readers[step.what](step);
  return { problems, settled, takenOver };
}

// What servers that heed no lease would do, and what has to be said of it. `node` has the lease; `own` is done by its server, the rest by the other one.
const FORGED = "'ffffffffffffffffffffffffffffffff'";
const aChange = (node) => `CREATE TEMP TABLE forged AS SELECT * FROM changes ORDER BY number DESC LIMIT 1;
UPDATE forged SET number = number + 1000000, change_id = ${FORGED}, idempotency_key = 'forged-key', state = 'attempt', owner = '${node}';
INSERT INTO changes SELECT * FROM forged;`;
const FORGERIES = [
  { said: 'moves what', own: aChange, other: () => `UPDATE changes SET state = 'failed' WHERE change_id = ${FORGED};` },
  { said: 'moves what', own: aChange, other: () => `UPDATE changes SET state = 'confirmed' WHERE change_id = ${FORGED};` },
  { said: 'gives it to another server', other: aChange },
  { said: 'asks the directory after a HOLD of', own: (node) => `${aChange('')} UPDATE changes SET state = 'held', job_id = ${FORGED} WHERE change_id = ${FORGED};`,
    other: () => `UPDATE changes SET state = 'attempt' WHERE change_id = ${FORGED};` },
  { said: 'moves what was settled', own: () => "UPDATE changes SET state = 'failed' WHERE number = (SELECT MAX(number) FROM changes WHERE state = 'done');" },
  { said: 'renews the lease of', other: (node) => `UPDATE nodes SET alive_until = alive_until + 1 WHERE node_id = '${node}';` },
  { said: 'ends the lease of', other: (node) => `DELETE FROM nodes WHERE node_id = '${node}';` },
  { said: 'takes the lease', own: () => `INSERT INTO leases VALUES ('forged', 'a', ${2 ** 50}, 0);`, other: () => "UPDATE leases SET holder = 'b' WHERE name = 'forged';" },
];

/** Watches one database of `scripts/pg`. */
export class Witness {
  constructor(database) {
    this.database = database;
    this.told = new Set();
  }

  sql(text) { return must(path.join(ROOT, 'scripts/pg'), ['sql', this.database], { input: text }); }

  /** The schema is there, and at most one server that was started with the database's first role. */
  install() { return this.sql(INSTALL); }

  /** What the record says that nobody was told yet. */
  async problems() {
    const { problems } = broken(JSON.parse(await this.sql(RECORD)));
    return problems.filter((text) => !this.told.has(text) && this.told.add(text));
  }

  async summary() { return broken(JSON.parse(await this.sql(RECORD))); }

  /** That each of them is seen: done, read and taken back in one transaction. `servers`: their roles. */
  async seesForgeries(servers) {
    const [node, mine] = (await this.sql(`SELECT n.node_id, s.who FROM nodes n JOIN witness.steps s ON s.was IS NULL AND s.now->>'node_id' = n.node_id ORDER BY n.alive_until DESC LIMIT 1;`)).trim().split('|');
    const other = servers.find((who) => who !== mine);
    for (const forgery of FORGERIES) {
      const known = (await this.summary()).problems.length;
      const by = (who, work) => (work ? `SET LOCAL SESSION AUTHORIZATION ${who};\n${work(node)}\n` : '');
      const record = await this.sql(`BEGIN;\n${by(mine, forgery.own)}${by(other, forgery.other)}${RECORD}\nROLLBACK;`);
      const [said, ...more] = broken(JSON.parse(record)).problems.slice(known);
      if (!said?.includes(forgery.said) || more.length) throw new Error(`where one ${forgery.said}, it says: ${[said, ...more].join('; ') || 'nothing'}`);
    }
    return `${FORGERIES.length} kinds`;
  }
}
