/**
 * Measures what a viewer gets over slow and lossy links: porthole, and Chromium as a sender with the same limit for
 * comparison, in the same run. `make bench-network` runs it and prints the table; it is no test, and its figures depend on
 * the machine.
 *
 *     ./isolated node bench.mjs [SECONDS [LINK [SENDER]]]
 *
 * LINK and SENDER are names as in the table, for those alone.
 */

import { fileURLToPath } from 'node:url';

import { blockCode } from '../page/code.mjs';
import { CONFIG, Program } from '../page/program.mjs';
import { Lab } from './lab.mjs';
import { Peer } from './peer.mjs';
import { Viewer } from './viewer.mjs';

/** The limit of both senders, in bit/s. */
const LIMIT = 2_000_000;

/** A longer time between two frames is a freeze, in milliseconds. */
const FREEZE = 200;

const [seconds = '60', ...only] = process.argv.slice(2);
const SECONDS = Number(seconds);

const BOARD = '10.0.0.1';
const HOME = '10.0.0.2';

/** The schedules of the link (see link.rs), with the rate that the use of the link is judged by. */
const LINKS = [
  ['2 Mbit/s', '0 rate=2000000', 2_000_000],
  ['1.5 Mbit/s', '0 rate=1500000', 1_500_000],
  ['1 Mbit/s', '0 rate=1000000', 1_000_000],
  ['0.5 Mbit/s', '0 rate=500000', 500_000],
  ['3 to 0.5 Mbit/s', `0 rate=3000000\n${SECONDS / 2} rate=500000`],
  ['0.5 to 3 Mbit/s', `0 rate=500000\n${SECONDS / 2} rate=3000000`],
  ['5 % loss', '0 rate=20000000 loss=0.05'],
  ['20 % loss', '0 rate=20000000 loss=0.2'],
];

/** Runs inside the page: the time of capture and of display of each frame, for a while. */
function watch(milliseconds) {
  const video = document.querySelector('video');
  const end = performance.now() + milliseconds;
  const frames = [];
  return new Promise((resolve) => {
    // Without a single frame the callback would never end it.
    setTimeout(() => resolve(frames), milliseconds + 500);
    const next = () => {
      const shown = performance.timeOrigin + performance.now();
      const code = blockCode.read(video);
      frames.push({ shown, captured: code?.captured });
      if (performance.now() < end) video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  });
}

/** What the frames of `seconds` from `begun` on amount to. */
function summarize(frames, begun, seconds) {
  const end = begun + seconds * 1000;
  let frozen = 0;
  let last = begun;
  for (const shown of [...frames.map(({ shown }) => shown).filter((shown) => shown > begun && shown < end), end]) {
    if (shown - last > FREEZE) frozen += shown - last;
    last = shown;
  }
  const delays = frames.filter(({ captured }) => captured !== undefined)
    .map(({ shown, captured }) => shown - captured).sort((a, b) => a - b);
  const quantile = (share) => Math.round(delays[Math.floor(delays.length * share)] ?? Infinity);
  return {
    fps: (frames.length / seconds).toFixed(0), frozen: ((frozen / (end - begun)) * 100).toFixed(1),
    median: quantile(0.5), p95: quantile(0.95),
  };
}

/** The link's own figures: the most that was handed to it in two seconds, and the mean that arrived, in bit/s. */
function ofLink(log) {
  const seconds = [...log.matchAll(/handed (\d+) bit\/s, dropped (\d+), arrived (\d+)/g)].map((found) => found.slice(1).map(Number));
  // The first second and the last are partial.
  const whole = seconds.slice(1, -1);
  const pairs = whole.slice(1).map(([handed], at) => (handed + whole[at][0]) / 2);
  return { handed: Math.max(0, ...pairs), arrived: whole.reduce((sum, [, , arrived]) => sum + arrived, 0) / Math.max(1, whole.length) };
}

async function porthole(board, home, lab) {
  const config = `[rtc]\nudp_port = 8189\n${CONFIG.replace('device = "pattern"', `device = "pattern"\nbitrate = ${LIMIT}`)}`;
  const program = await Program.start({ config, listen: '0.0.0.0:8080', prefix: board.prefix });
  const viewer = await Viewer.open(lab, home, `http://${BOARD}:8080/`);
  return { page: viewer.page, viewer, end: () => Promise.all([viewer.close(), program.end('SIGKILL')]) };
}

async function chromium(board, home, lab) {
  const peer = await Peer.connect(lab, board, home, LIMIT);
  return { page: peer.page, end: () => peer.close() };
}

async function measure(sender, schedule) {
  const lab = new Lab();
  try {
    const { hosts: [board, home], emulator } = await lab.link(schedule, [BOARD, HOME]);
    const setup = await sender(board, home, lab);
    try {
      await setup.page.evaluate(blockCode);
      await setup.page.waitForFunction(() => document.querySelector('video')?.videoWidth > 0, null, { timeout: 30_000 });
      // Only where it shows what loss does: the other sender has no audio.
      const listener = schedule.includes('loss=') ? setup.viewer : undefined;
      await listener?.unmute();
      const before = await listener?.audio();
      const begun = performance.timeOrigin + performance.now();
      const frames = await setup.page.evaluate(watch, SECONDS * 1000);
      const concealed = before && concealedPercent(before, await listener.audio());
      return { ...summarize(frames, begun, SECONDS), ...ofLink(emulator.log), concealed };
    } finally {
      await setup.end();
    }
  } finally {
    await lab.end();
  }
}

/** How much of the audio between two reports was made up by the browser. */
const concealedPercent = (before, after) => (((after.concealed - before.concealed) / (after.samples - before.samples)) * 100).toFixed(1);

const kbit = (rate) => (rate / 1000).toFixed(0);

console.log('| Link | Sender | fps | Frozen % | Delay, median ms | p95 | Audio concealed % | Handed to the link at most, kbit/s in 2 s | Arrived, kbit/s | Used % |');
console.log('|---|---|---:|---:|---:|---:|---:|---:|---:|---:|');
for (const [name, schedule, rate] of LINKS) {
  for (const [label, sender] of [['porthole', porthole], ['Chromium', chromium]]) {
    if (![name, label].every((value, at) => (only[at] ?? value) === value)) continue;
    const { fps, frozen, median, p95, concealed = '', handed, arrived } = await measure(sender, schedule);
    const used = rate ? ((arrived / rate) * 100).toFixed(0) : '';
    console.log(`| ${name} | ${label} | ${fps} | ${frozen} | ${median} | ${p95} | ${concealed} | ${kbit(handed)} | ${kbit(arrived)} | ${used} |`);
  }
}
