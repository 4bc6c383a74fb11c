/** Starts and stops the porthole program for tests. PORTHOLE_BIN names it. */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A debug build starts within a second; this is for a machine that is busy with other things. */
const START_DEADLINE_MS = 20_000;

/** Pattern and tone; small enough that two cores carry the encoder and the browser's decoder. */
export const CONFIG = `
[[camera]]
name = "camera"
device = "pattern"
width = 640
height = 360
fps = 30

[audio]
device = "tone"
`;

/** Running programs, so that none outlives the tests. */
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/**
 * @typedef {object} Options
 * @property {string} [config] TOML text of a configuration file.
 * @property {string} [camera] For --camera; `pattern` by default if there is no configuration.
 * @property {number} [port] 0 picks a free one.
 * @property {Record<string, string>} [passwords] By role; set before the program starts.
 * @property {string} [listen] For --listen, instead of a port on the loopback address.
 * @property {Record<string, string>} [environment] Additional environment variables.
 * @property {string[]} [prefix] A command that runs the program, such as one that enters another network namespace.
 */

/**
 * Completes a configuration so that programs can run side by side, unless it says otherwise: no sign-in, and a free UDP
 * port.
 */
function complete(config = '') {
  for (const [section, key, line] of [['[auth]', 'mode', 'mode = "none"'], ['[rtc]', 'udp_port', 'udp_port = 0']]) {
    if (!config.includes(section)) config += `\n${section}\n`;
    if (!new RegExp(`^${key} *=`, 'm').test(config)) config = config.replace(section, `${section}\n${line}`);
  }
  return config;
}

export class Program {
  /** @param {Options} [options] */
  static async start({
    config, camera = config ? undefined : 'pattern', port = 0, listen = `127.0.0.1:${port}`, prefix = [], passwords = {},
    environment = {},
  } = {}) {
    const path = process.env.PORTHOLE_BIN;
    if (!path) throw new Error('PORTHOLE_BIN is not set; it names the porthole program to test');
    const program = new Program();
    program.directory = mkdtempSync(join(tmpdir(), 'porthole-page-'));
    const file = join(program.directory, 'porthole.toml');
    writeFileSync(file, complete(config));
    const command = [...prefix, path, 'run', '--listen', listen, '--config', file];
    if (camera) command.push('--camera', camera);
    const env = { ...process.env, STATE_DIRECTORY: join(program.directory, 'state'), ...environment };
    for (const [role, password] of Object.entries(passwords)) {
      execFileSync(path, ['password', role], { input: `${password}\n`, stdio: 'pipe', env });
    }
    program.child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], env });
    running.add(program.child);
    program.exited = once(program.child, 'exit').then(([code, signal]) => {
      running.delete(program.child);
      rmSync(program.directory, { recursive: true });
      return { code, signal };
    });
    program.url = await program.#address(command.join(' '));
    program.port = Number(new URL(program.url).port);
    return program;
  }

  /** The program's log, from standard error. */
  log = '';

  /** The sign-in link, once it is printed. @type {Promise<string>} */
  link = new Promise((resolve) => (this.tell = resolve));

  /** The address printed on standard output. */
  #address(command) {
    this.child.stderr.setEncoding('utf8').on('data', (text) => (this.log += text));
    return new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`${command}: ${why}\n${this.log}`));
      const timer = setTimeout(() => fail('printed no address'), START_DEADLINE_MS);
      this.child.on('error', (error) => fail(error.message));
      this.exited.then(({ code, signal }) => fail(`exited with ${signal ?? code}`));
      createInterface({ input: this.child.stdout }).on('line', (line) => {
        const link = line.match(/http:\S*#sign-in=\S+/);
        if (link) this.tell(link[0]);
        const address = line.match(/https?:\/\/\S+:\d+\//);
        if (!address) return;
        clearTimeout(timer);
        resolve(address[0]);
      });
    });
  }

  /** @param {Record<string, string>} [headers] Such as a session cookie. */
  async status(headers = {}) {
    const response = await fetch(new URL('api/status', this.url), { headers });
    return response.json();
  }

  /**
   * Calls a method over HTTP, as an operator; throws the board's error.
   * @param {string} method
   * @param {object} [params]
   */
  async command(method, params = {}) {
    const body = JSON.stringify({ id: 1, method, params });
    const response = await fetch(new URL('api/command', this.url), { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
    const { error, result } = await response.json();
    if (error) throw Object.assign(new Error(error.message), error);
    return result;
  }

  /**
   * Sends a signal and waits for the exit.
   * @param {NodeJS.Signals} signal
   * @returns {Promise<{code: number | null, signal: string | null, took: number}>} `took`: milliseconds.
   */
  async end(signal) {
    const sent = performance.now();
    this.child.kill(signal);
    return { ...(await this.exited), took: performance.now() - sent };
  }
}
