/**
 * Shared by all scenarios: a lab each, a board and viewers in it, and their logs when a scenario fails. The scenarios themselves
 * are in the test files.
 */

import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { CONFIG, Program } from '../page/program.mjs';
import { Lab } from './lab.mjs';
import { Viewer } from './viewer.mjs';

/** The HTTP port on every board. */
export const HTTP = 8080;

/** The media port on every board. */
export const MEDIA = 8189;

/** A firewall that drops all UDP. */
export const NO_UDP = `
table ip firewall {
  chain forward {
    type filter hook forward priority filter;
    meta l4proto udp drop
  }
}`;

const FORWARDER = fileURLToPath(new URL('forwarder.mjs', import.meta.url));

class Scenario extends Lab {
  #programs = [];
  #viewers = [];

  /**
   * Starts porthole on a host.
   * @param {import('./lab.mjs').Host} host
   * @param {{rtc?: string, http?: string, bitrate?: number}} [more] Configuration lines for these sections, and the
   *   video bitrate.
   */
  async board(host, { rtc = '', http = '', bitrate = 1_000_000 } = {}) {
    const camera = CONFIG.replace('device = "pattern"', `device = "pattern"\nbitrate = ${bitrate}`);
    const config = `[http]\n${http}\n[rtc]\nudp_port = ${MEDIA}\n${rtc}\n${camera}`;
    const program = await Program.start({ config, listen: `[::]:${HTTP}`, prefix: host.prefix });
    this.#programs.push(program);
    return program;
  }

  /** Opens the page in a browser on a host. */
  async viewer(host, url, args) {
    const viewer = await Viewer.open(this, host, url, args);
    this.#viewers.push(viewer);
    return viewer;
  }

  /** Forwards a TCP port of `host` to the same port at `address`. */
  async forwarder(host, port, address) {
    await this.service(host, [process.execPath, FORWARDER, `${port}`, address], /forwards/);
  }

  async report() {
    const pages = await Promise.all(this.#viewers.map((viewer) => viewer.report()));
    return [...this.#programs.map(({ log }) => `--- porthole\n${log}`), this.logs, ...pages].join('\n');
  }

  async end() {
    await Promise.all(this.#viewers.map((viewer) => viewer.close()));
    await Promise.all(this.#programs.map((program) => program.end('SIGKILL')));
    await super.end();
  }
}

/**
 * A test in a lab of its own.
 * @param {string} name
 * @param {(lab: Scenario) => Promise<void>} body
 */
export function scenario(name, body) {
  test(name, async () => {
    const lab = new Scenario();
    try {
      await body(lab);
    } catch (error) {
      console.error(`${name}:\n${await lab.report()}`);
      throw error;
    } finally {
      await lab.end();
    }
  });
}
