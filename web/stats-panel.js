/** The figures of the connection: numbers with their units, and their last two minutes, in the places that index.html has for them. */

import { write } from './elements.js';
import { line, span as extent } from './time-series.js';
import { text } from './i18n.js';
import { audioWords } from './messages.js';

/** @import { History } from './time-series.js' */
/** @import { Figures } from './stats.js' */
/** @import { Latency } from './latency.js' */
/** @import { Camera, Status } from './status.js' */

/** Stands where there is no figure. */
const NONE = '–';

/** Units of a graph's field: its width is stretched to that of its place. */
const [GRAPH_WIDTH, GRAPH_HEIGHT] = [120, 24];

/**
 * @typedef {object} Setup Milliseconds since the offer was sent; null until then.
 * @property {number | null} answered
 * @property {number | null} connected
 * @property {number | null} firstFrame
 *
 * @typedef {object} Facts
 * @property {boolean} live
 * @property {Setup} setup
 * @property {Figures | null} figures
 * @property {Latency | null} latency
 * @property {number | null} controlRoundTrip Milliseconds over the data channel.
 * @property {Camera | null} camera
 * @property {Status | null} status
 * @property {History | null} history
 */

/** @type {Record<string, ((facts: Facts) => string | null) | undefined>} */
const FIGURES = {
  latency: ({ latency, live }) => (live && !latency ? text().details.unknown : latency && `${round(latency.median)} ms`),
  'latency-note': ({ latency, live }) => {
    if (latency) return text().details.worst(round(latency.worst), round(latency.error, 1));
    return live ? text().details.untold : null;
  },
  setup: ({ setup }) => milliseconds(setup.firstFrame),
  'setup-note': ({ setup }) =>
    setup.connected === null ? null : text().details.steps(round(setup.answered), round(setup.connected)),
  resolution: ({ figures }) => (figures?.video?.width ? `${figures.video.width} × ${figures.video.height}` : null),
  fps: ({ figures }) => (figures?.video?.fps == null ? null : `${round(figures.video.fps)} /s`),
  'video-bitrate': ({ figures }) => bitrate(figures?.video?.bitrate),
  'video-codec': ({ figures, camera }) => list(codec(figures?.video?.codec), camera?.encoder),
  'audio-bitrate': ({ figures }) => bitrate(figures?.audio?.bitrate),
  'audio-codec': ({ figures }) => codec(figures?.audio?.codec),
  'audio-source': ({ status }) => audioWords(status?.audio),
  'round-trip': ({ figures, controlRoundTrip }) => milliseconds(figures?.roundTrip ?? controlRoundTrip, 1),
  loss: ({ figures }) =>
    figures?.video?.lossPercent == null
      ? null
      : text().details.lost(round(figures.video.lossPercent, 1), figures.video.packetsLost ?? 0),
  'jitter-buffer': ({ figures }) =>
    list(milliseconds(figures?.video?.jitterBuffer), figures?.audio && text().details.soundToo(milliseconds(figures.audio.jitterBuffer) ?? NONE)),
  path: ({ figures }) => figures?.path ?? null,
  local: ({ figures }) => figures?.local ?? null,
  camera: ({ camera }) => camera && (camera.source ?? camera.device),
  capture: ({ camera }) =>
    camera?.width ? list(`${camera.width} × ${camera.height}`, camera.fps && `${round(camera.fps)} /s`, camera.format) : null,
  viewers: ({ status }) =>
    status?.viewers == null ? null : status.max_viewers ? text().details.ofAtMost(status.viewers, status.max_viewers) : `${status.viewers}`,
  version: ({ status }) => status && list(status.version, status.uptime_seconds && text().details.up(span(status.uptime_seconds))),
};

/** What a graph's least and most are called. @type {Record<string, ((value: number) => string | null) | undefined>} */
const GRAPHS = {
  latency: (value) => milliseconds(value),
  fps: (value) => `${round(value)} /s`,
  'video-bitrate': bitrate,
  'round-trip': (value) => milliseconds(value, 1),
  loss: (value) => `${round(value, 1)} %`,
  'jitter-buffer': (value) => milliseconds(value),
};

export class FigureTable {
  /** @type {{element: HTMLElement, say: (facts: Facts) => string | null}[]} */
  #places = [];
  /** @type {Graph[]} */
  #graphs = [];

  /** @param {HTMLElement} root Holds elements with `data-figure` and `data-graph`. */
  constructor(root) {
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-figure]'))) {
      const say = FIGURES[element.dataset.figure ?? ''];
      if (say) this.#places.push({ element, say });
    }
    for (const place of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-graph]'))) {
      const name = place.dataset.graph ?? '';
      const say = GRAPHS[name];
      if (say) this.#graphs.push(new Graph(place, name, say));
    }
  }

  /** @param {Facts} facts */
  show(facts) {
    for (const { element, say } of this.#places) write(element, say(facts) || NONE);
    for (const graph of this.#graphs) graph.draw(facts.history);
  }
}

/** Two minutes of one figure as a line. */
class Graph {
  #svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  #line = document.createElementNS('http://www.w3.org/2000/svg', 'path');

  /**
   * @param {HTMLElement} place
   * @param {string} name
   * @param {(value: number) => string | null} say
   */
  constructor(place, name, say) {
    this.place = place;
    this.name = name;
    this.say = say;
    this.#svg.setAttribute('viewBox', `0 -1 ${GRAPH_WIDTH} ${GRAPH_HEIGHT + 2}`);
    this.#svg.setAttribute('preserveAspectRatio', 'none');
    this.#svg.setAttribute('role', 'img');
    this.#svg.append(this.#line);
    place.append(this.#svg);
  }

  /** @param {History | null} history */
  draw(history) {
    const points = history?.of(this.name) ?? [];
    const { least, most, count } = extent(points);
    this.place.hidden = count < 2;
    if (count < 2) return;
    this.#line.setAttribute('d', line(points, GRAPH_WIDTH, GRAPH_HEIGHT));
    const what = this.place.parentElement?.querySelector('dt')?.textContent ?? '';
    this.#svg.setAttribute('aria-label', text().details.graph(what, this.say(least) ?? '', this.say(most) ?? ''));
  }
}

/**
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
function round(value, digits = 0) {
  return value == null ? NONE : value.toFixed(digits);
}

/**
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
function milliseconds(value, digits = 0) {
  return value == null ? null : `${value.toFixed(digits)} ms`;
}

/** @param {number | null | undefined} value Bits a second. */
function bitrate(value) {
  if (value == null) return null;
  return value >= 1e6 ? `${(value / 1e6).toFixed(2)} Mbit/s` : `${(value / 1e3).toFixed(0)} kbit/s`;
}

/** @param {string | null | undefined} name As in SDP. */
function codec(name) {
  if (!name) return null;
  return { H264: 'H.264', opus: 'Opus' }[name] ?? name;
}

/** @param {number} seconds */
function span(seconds) {
  const [days, hours, minutes] = [86_400, 3_600, 60].map((unit) => Math.floor(seconds / unit));
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

/** @param {(string | number | null | undefined | false)[]} parts */
function list(...parts) {
  return parts.filter(Boolean).join(', ') || null;
}
