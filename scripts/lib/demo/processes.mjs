// Child processes of the demo: each with a user of its own, a log file, and an end.
import { spawn, execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

/** Runs a program to its end. Returns {code, stdout, stderr}; never throws for a non-zero exit. */
export function run(program, args = [], { input, env, uid, timeout = 60000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'], timeout, ...(uid ? { uid, gid: uid } : {}),
    });
    let stdout = '', stderr = '';
    child.stdout.on('data', (d) => { stdout += d; });
    child.stderr.on('data', (d) => { stderr += d; });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? 128, signal, stdout, stderr }));
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
  });
}

/** Runs a program and insists on exit 0. Returns its standard output. */
export async function must(program, args, options) {
  const { code, stdout, stderr } = await run(program, args, options);
  if (code !== 0) throw new Error(`${path.basename(program)} ${args.join(' ')} failed (exit ${code}): ${stderr.trim() || stdout.trim()}`);
  return stdout;
}

/** The system did not start a program at all: it is not there, may not be run, or is being written. */
export class NotStarted extends Error {}

/** A long-running program: started with start(), ended with stop() or kill(). Its output goes to a log file. */
export class Service {
  constructor(name, program, args, { uid, gid = uid, env, log, ready }) {
    Object.assign(this, { name, program, args, uid, gid, env, log, ready });
    this.child = null;
  }

  /** Starts it and waits until a line of its output (or of the log file) matches `ready`. NotStarted where it cannot be started; then none runs. */
  async start(timeout = process.env.KEYFERRY_IN_GUEST ? 90000 : 20000) {
    const out = fs.openSync(this.log, 'a', 0o600);
    this.child = null;
    let child;
    try {
      child = spawn(this.program, this.args, {
        env: { ...process.env, ...this.env }, stdio: ['ignore', 'pipe', out], ...(this.uid ? { uid: this.uid, gid: this.gid } : {}),
      });
      // Some causes are thrown, others told by an event.
      await new Promise((resolve, reject) => { child.once('spawn', resolve).once('error', reject); });
    } catch (error) {
      fs.closeSync(out);
      throw new NotStarted(`${this.name} could not be started: ${this.program}: ${error.message}`);
    }
    this.child = child;
    this.exited = new Promise((resolve) => child.on('close', (code, signal) => { fs.closeSync(out); resolve({ code, signal }); }));
    await new Promise((resolve, reject) => {
      let text = '';
      const timer = setTimeout(() => reject(new Error(`${this.name} was not ready in ${timeout} ms; see ${this.log}`)), timeout);
      child.on('error', (error) => { clearTimeout(timer); reject(error); });  // a signal that could not be sent
      this.exited.then(({ code, signal }) => {
        clearTimeout(timer);
        reject(new Error(`${this.name} ended at once (${signal ?? `exit ${code}`}); see ${this.log}: ${tail(this.log)}${text.slice(-500)}`));
      });
      child.stdout.on('data', (data) => {
        fs.appendFileSync(this.log, data);
        text = (text + data).slice(-65536);
        if (this.ready.test(text)) { clearTimeout(timer); resolve(); }
      });
    });
  }

  get pid() { return this.child?.pid; }
  get running() { return this.child !== null && this.child.exitCode === null && this.child.signalCode === null; }

  /** Ends it politely; after `grace` milliseconds with SIGKILL. */
  async stop(grace = 5000) {
    if (!this.running) return;
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), grace);
    await this.exited;
    clearTimeout(timer);
  }

  async kill() {
    if (!this.running) return;
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

function tail(file) {
  try { return fs.readFileSync(file, 'utf8').slice(-1000); } catch { return ''; }
}

/** A free TCP port on 127.0.0.1 (asked of the kernel). */
export async function freePort() {
  const net = await import('node:net');
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => resolve(port)); });
  });
}

export { execFileAsync };
