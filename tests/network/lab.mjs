/**
 * Network namespaces as hosts, and the networks between them. Works only inside `isolated`.
 *
 *     const lab = new Lab();
 *     const lan = lab.network();
 *     const board = lab.host('board').plug(lan, '192.168.1.10/24');
 *     board.run('ping', '-c', '1', '192.168.1.20');
 *     await lab.end();
 *
 * What runs on the hosts is defined elsewhere.
 */

import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** How long a service may take to start: Python alone takes seconds to load a WebRTC stack, and more on a busy machine. */
const START_MS = 60_000;

/** Runs a command to completion. Its output goes into the error rather than between the test results. */
function run(command, args, input = '') {
  try {
    return execFileSync(command, args, { encoding: 'utf8', input, stdio: 'pipe' });
  } catch (cause) {
    throw new Error(`${[command, ...args].join(' ')}: ${cause.stderr?.trim() || cause.message}`, { cause });
  }
}

/** A host with its own network; files and clock are shared. */
export class Host {
  #cables = [];

  constructor(name) {
    this.name = name;
    run('ip', ['netns', 'add', name]);
    // Addresses are usable at once: without duplicate address detection there is nothing to wait for.
    this.sysctl('net/ipv6/conf/default/accept_dad', 0);
    this.run('ip', 'link', 'set', 'lo', 'up');
  }

  /** The command prefix that runs a program on this host. */
  get prefix() {
    return ['nsenter', `--net=/run/netns/${this.name}`, '--'];
  }

  /** Runs a command to completion and returns its output. */
  run(...command) {
    const [program, ...args] = [...this.prefix, ...command];
    return run(program, args);
  }

  /** Runs a long command to completion without blocking, and returns its output. */
  async complete(...command) {
    const [program, ...args] = [...this.prefix, ...command];
    return (await promisify(execFile)(program, args, { timeout: 90_000 })).stdout;
  }

  /** Sets a kernel parameter, given its path below /proc/sys. */
  sysctl(path, value) {
    this.run('sh', '-c', `echo ${value} >/proc/sys/${path}`);
  }

  /**
   * Adds an interface (eth0, eth1, ...) with these addresses in a network.
   * @param {string} network What `Lab.network()` returned.
   * @param {...string} addresses With prefix length.
   */
  plug(network, ...addresses) {
    const device = `eth${this.#cables.length}`;
    const cable = `${network}-${this.name}`;
    run('ip', ['link', 'add', cable, 'type', 'veth', 'peer', 'name', device, 'netns', this.name]);
    this.#cables.push(cable);
    run('ip', ['link', 'set', cable, 'master', network, 'up']);
    for (const address of addresses) this.run('ip', 'address', 'add', address, 'dev', device);
    this.run('ip', 'link', 'set', device, 'up');
    return this;
  }

  /** Takes an interface that a program in the lab has created, as its only one (eth0), with these addresses. */
  adopt(device, ...addresses) {
    run('ip', ['link', 'set', device, 'netns', this.name, 'name', 'eth0']);
    for (const address of addresses) this.run('ip', 'address', 'add', address, 'dev', 'eth0');
    this.run('ip', 'link', 'set', 'eth0', 'up');
    // As in `route`: browsers need a default route.
    this.run('ip', 'route', 'add', 'default', 'dev', 'eth0');
    return this;
  }

  /**
   * Sets the default route. A host needs one even if the router does not exist: browsers use it to choose which of their
   * addresses to offer.
   */
  route(gateway) {
    this.run('ip', gateway.includes(':') ? '-6' : '-4', 'route', 'add', 'default', 'via', gateway);
    return this;
  }

  /** Replaces an address of an interface; routes through the old one disappear with it. */
  readdress(device, from, to) {
    this.run('ip', 'address', 'delete', from, 'dev', device);
    this.run('ip', 'address', 'add', to, 'dev', device);
    return this;
  }

  /** Forwards packets between the host's interfaces, under these nftables rules. */
  forward(rules) {
    this.sysctl('net/ipv4/ip_forward', 1);
    return this.filter(rules);
  }

  /** Removes the host and its interfaces: half-closed connections of a killed program would keep it alive for minutes. */
  remove() {
    for (const cable of this.#cables) run('ip', ['link', 'delete', cable]);
    run('ip', ['netns', 'delete', this.name]);
  }

  /** Applies nftables rules. */
  filter(rules) {
    const [program, ...args] = [...this.prefix, 'nft', '-f', '-'];
    run(program, args, rules);
    return this;
  }
}

export class Lab {
  #hosts = [];
  #networks = [];
  #services = [];

  constructor() {
    /** For files of the lab's services; removed at the end. */
    this.directory = mkdtempSync(join(tmpdir(), 'porthole-network-'));
  }

  /** Adds a host. Its name is unique in the lab and has at most 8 letters. */
  host(name) {
    const host = new Host(name);
    this.#hosts.push(host);
    return host;
  }

  /** Adds a network: a switch that hosts can be plugged into. */
  network() {
    const name = `net${this.#networks.length}`;
    this.#networks.push(name);
    run('ip', ['link', 'add', name, 'type', 'bridge', 'mcast_snooping', '0']);
    run('ip', ['link', 'set', name, 'up']);
    return name;
  }

  /**
   * Two hosts, `board` and `home`, with an emulated link between them (see link.rs), whose way from the board follows a
   * schedule. Returns the hosts and the emulator; LINK_BIN names the program.
   * @param {string} schedule
   * @param {[string, string]} addresses
   */
  async link(schedule, addresses) {
    const hosts = [this.host('board'), this.host('home')];
    if (!process.env.LINK_BIN) throw new Error('LINK_BIN is not set; it names the link emulator, and make network sets it');
    const command = [process.env.LINK_BIN, '1', this.file('schedule', schedule)];
    const emulator = await this.service({ name: 'link', prefix: [] }, command, /ready/);
    for (const [at, host] of hosts.entries()) host.adopt(`link${at}`, `${addresses[at]}/24`);
    return { hosts, emulator };
  }

  /** Sets the host names on all hosts: `{ 'board.lab': '192.168.1.10' }`. */
  names(addresses) {
    const lines = Object.entries(addresses).map(([name, address]) => `${address} ${name}\n`);
    writeFileSync('/etc/hosts', ['127.0.0.1 localhost\n', '::1 localhost\n', ...lines].join(''));
  }

  /** Writes a file of the lab and returns its path. */
  file(name, text, mode = 0o644) {
    const path = join(this.directory, name);
    writeFileSync(path, text, { mode });
    return path;
  }

  /**
   * Starts a program on a host and waits for a line of output that matches. It is killed at the end of the lab.
   * @param {Pick<Host, 'name' | 'prefix'>} host
   * @param {string[]} command
   * @param {RegExp} ready
   */
  async service(host, command, ready) {
    const [program, ...args] = [...host.prefix, ...command];
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: this.directory });
    const service = { name: `${command[0]} on ${host.name}`, log: '', child };
    this.#services.push(service);
    await new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`${service.name}: ${why}\n${service.log}`));
      const timer = setTimeout(() => fail(`did not write ${ready} within ${START_MS / 1000} s`), START_MS);
      child.on('error', (error) => fail(error.message));
      child.on('exit', (code, signal) => fail(`ended with ${signal ?? code}`));
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text) => {
          service.log += text;
          if (!ready.test(service.log)) return;
          clearTimeout(timer);
          resolve();
        });
      }
    });
    return service;
  }

  /** The output of the services. */
  get logs() {
    return this.#services.map(({ name, log }) => `--- ${name}\n${log}`).join('\n');
  }

  /** Stops the services and removes the hosts. */
  async end() {
    for (const { child } of this.#services) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) continue;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    for (const host of this.#hosts) host.remove();
    for (const name of this.#networks) run('ip', ['link', 'delete', name]);
    rmSync(this.directory, { recursive: true });
  }
}
