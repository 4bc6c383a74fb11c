/**
 * A viewer: the page in a real Chromium on a host of the lab, and what the browser reports about its connection. Which
 * connection is expected is up to the scenario.
 */

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

import { launch } from '../page/browser.mjs';
import { blockCode } from '../page/code.mjs';

/** For a connection to be established or to recover, on a busy machine. */
const DEADLINE = { timeout: 30_000, polling: 50 };

/** Keeps the page's peer connections, and summarizes the statistics of the latest one. */
const peers = () => {
  const all = [];
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...configuration) {
      super(...configuration);
      all.push(this);
    }
  };
  // The page also creates some that it closes at once, to see which servers the browser accepts.
  const answered = () => all.filter((peer) => peer.remoteDescription !== null);
  const current = () => answered().at(-1) ?? all.at(-1);
  const entries = async () => new Map((await current()?.getStats()) ?? []);
  const candidate = (stats) => stats && {
    type: stats.candidateType, protocol: stats.protocol, address: stats.address, port: stats.port,
    tcpType: stats.tcpType, relayProtocol: stats.relayProtocol,
  };
  globalThis.peers = {
    count: () => answered().length,
    async pair() {
      const stats = await entries();
      const transport = [...stats.values()].find(({ type }) => type === 'transport');
      const pair = stats.get(transport?.selectedCandidatePairId);
      return pair && { id: pair.id, local: candidate(stats.get(pair.localCandidateId)), remote: candidate(stats.get(pair.remoteCandidateId)) };
    },
    async packets() {
      const inbound = [...(await entries()).values()].filter(({ type }) => type === 'inbound-rtp');
      const sum = (key) => inbound.reduce((sum, stream) => sum + (stream[key] ?? 0), 0);
      return { received: sum('packetsReceived'), lost: sum('packetsLost'), requested: sum('nackCount') };
    },
    async audio() {
      const inbound = [...(await entries()).values()].find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
      const { packetsReceived = 0, packetsLost = 0, concealedSamples = 0, totalSamplesReceived = 0 } = inbound ?? {};
      return { received: packetsReceived, lost: packetsLost, concealed: concealedSamples, samples: totalSamplesReceived };
    },
    async report() {
      const stats = await entries();
      const kinds = ['candidate-pair', 'local-candidate', 'remote-candidate', 'transport'];
      const lines = [...stats.values()].filter(({ type }) => kinds.includes(type)).map((entry) => JSON.stringify(entry));
      const peer = current();
      return [`${answered().length} sessions, the last ${peer?.connectionState}, ICE ${peer?.iceConnectionState}`,
        ...lines, peer?.remoteDescription?.sdp ?? 'no answer'].join('\n');
    },
  };
};

export class Viewer {
  /** Errors and console output of the page. */
  log = '';

  /**
   * Opens the page in a browser on `host`.
   * @param {import('./lab.mjs').Lab} lab
   * @param {import('./lab.mjs').Host} host
   * @param {string} url
   * @param {string[]} args Chromium arguments in addition to those of all tests.
   */
  static async open(lab, host, url, args = []) {
    const viewer = new Viewer();
    const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';
    const executablePath = lab.file(`chromium-${host.name}`, `#!/bin/sh\nexec ${host.prefix.join(' ')} ${chromium} "$@"\n`, 0o755);
    viewer.browser = await launch(args, executablePath);
    viewer.page = await viewer.browser.newPage();
    viewer.page.on('console', (message) => (viewer.log += `${message.text()}\n`));
    viewer.page.on('pageerror', (error) => (viewer.log += `${error.stack}\n`));
    await viewer.page.addInitScript(blockCode);
    await viewer.page.addInitScript(peers);
    await viewer.page.goto(url);
    return viewer;
  }

  /** Waits for decoded frames that were captured after a time (milliseconds since the Unix epoch) and that advance. */
  async watches(since = 0) {
    await this.page.waitForFunction((since) => {
      const code = blockCode.read(document.querySelector('video'));
      return code !== null && code.captured > since;
    }, since, DEADLINE);
    const shown = performance.timeOrigin + performance.now();
    const deadline = performance.now() + DEADLINE.timeout;
    let numbers;
    do {
      assert.ok(performance.now() < deadline, `the frames do not advance: ${numbers}`);
      const { frames } = await this.page.evaluate(() => blockCode.collect(document.querySelector('video'), 500));
      numbers = frames.map(({ frame }) => frame);
      // Chromium may show a frame twice. The numbers wrap after four years.
      assert.ok(numbers.every((number, at) => at === 0 || number >= numbers[at - 1]), `the frames go back: ${numbers}`);
      // A browser that was held up for half a second has shown two.
    } while (new Set(numbers).size < 3);
    return { shown };
  }

  /** Has the page play audio, and waits until some has arrived. */
  async unmute() {
    await this.page.click('#mute');
    await this.hears(0.5);
  }

  /**
   * Waits until so much more audio was played, in seconds.
   * @param {number} seconds
   */
  async hears(seconds) {
    const { samples } = await this.audio();
    await this.until(async () => (await this.audio()).samples >= samples + seconds * 48_000, `${seconds} s more of audio`);
  }

  /** What the browser has received and played of the audio, in packets and samples. */
  async audio() {
    return this.page.evaluate(() => globalThis.peers.audio());
  }

  /** The candidate pair that carries the media. */
  async pair() {
    const pair = await this.page.evaluate(() => globalThis.peers.pair());
    assert.ok(pair, 'no pair of candidates is selected');
    return pair;
  }

  /**
   * Makes a change while the video plays, and waits until it has played for some time after it.
   * @param {() => Promise<void> | void} change
   * @param {number} [span] From the first frame to the last, in milliseconds.
   * @returns {Promise<number>} The longest time for which it stood still, in milliseconds.
   */
  async longestFreeze(change, span = 6_000) {
    const collected = this.page.evaluate((span) => blockCode.collect(document.querySelector('video'), span), span);
    collected.catch(() => {});
    // The change comes while it plays.
    await this.page.evaluate(() => new Promise((resolve) => {
      const video = document.querySelector('video');
      let left = 30;
      const next = () => (left-- > 0 ? video.requestVideoFrameCallback(next) : resolve());
      next();
    }));
    await change();
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`the video did not go on within ${DEADLINE.timeout} ms`)), DEADLINE.timeout);
    });
    const { frames } = await Promise.race([collected, late]).finally(() => clearTimeout(timer));
    return Math.round(Math.max(...frames.slice(1).map(({ shown }, at) => shown - frames[at].shown)));
  }

  /** Has the page restart ICE, as it does when the device has moved to another network. */
  async restart() {
    await this.page.evaluate(async () => {
      const { connection } = await import(document.querySelector('script[src^="bootstrap."]').src);
      await connection.session.restart();
    });
  }

  /** Waits for the candidate pair that carries the media to meet a condition. */
  async pairs(condition) {
    let pair;
    await this.until(async () => condition(pair = await this.pair()), () => `another pair than ${JSON.stringify(pair)}`);
    return pair;
  }

  /**
   * Waits until a condition is met, which the page's own waits cannot do if it takes a moment to find out.
   * @param {() => Promise<boolean>} condition
   * @param {string | (() => string)} what What is waited for.
   */
  async until(condition, what) {
    const deadline = performance.now() + DEADLINE.timeout;
    while (!await condition()) {
      assert.ok(performance.now() < deadline, `waited for ${typeof what === 'string' ? what : what()}`);
      await pause(DEADLINE.polling);
    }
  }

  /** Packets received, lost and requested again so far. */
  packets() {
    return this.page.evaluate(() => globalThis.peers.packets());
  }

  /** How many sessions the page has started. */
  sessions() {
    return this.page.evaluate(() => globalThis.peers.count());
  }

  /** For the log of a failed test. */
  async report() {
    const report = await this.page.evaluate(() => globalThis.peers.report()).catch((error) => error.message);
    const said = await this.page.evaluate(() => document.querySelector('[role=status]')?.textContent).catch(() => '');
    return `--- page: ${said}\n${this.log}${report}`;
  }

  async close() {
    await this.browser.close();
  }
}
