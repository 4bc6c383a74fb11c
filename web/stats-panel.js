/** The details pane: statistics of the connection with units, and graphs of the last two minutes. */

import { write } from './elements.js';
import { t } from './i18n.js';
import { audioLabel } from './messages.js';
import { linePath, range } from './time-series.js';

/** @import { TimeSeries } from './time-series.js' */
/** @import { Stats } from './stats.js' */
/** @import { Latency } from './latency.js' */
/** @import { Camera, Status } from './status.js' */
/** @import { OwnSession } from './session-stats.js' */

/** Shown where there is no value. */
const NONE = '–';

/** Size of a graph's view box; it is stretched to the width of its element. */
const [GRAPH_WIDTH, GRAPH_HEIGHT] = [120, 24];

/**
 * @typedef {object} Setup Milliseconds since the offer was sent; null until then.
 * @property {number | null} answered
 * @property {number | null} connected
 * @property {number | null} firstFrame
 *
 * @typedef {object} PanelData
 * @property {boolean} live
 * @property {Setup} setup
 * @property {Stats | null} stats
 * @property {Latency | null} latency
 * @property {number | null} controlRoundTrip Milliseconds over the data channel.
 * @property {boolean} muted Whether no audio is wanted.
 * @property {Camera | null} camera
 * @property {Status | null} status
 * @property {TimeSeries | null} timeSeries
 * @property {OwnSession | null} own What the board says of this session.
 * @property {boolean} isOperator Whether to name the board's devices.
 */

/** @type {Record<string, ((data: PanelData) => string | null) | undefined>} */
const ROWS = {
  latency: ({ latency, live }) => (live && !latency ? t().details.unknown : latency && `${round(latency.median)} ms`),
  'latency-note': ({ latency, live, own }) => {
    if (latency) return list(t().details.worst(round(latency.worst), round(latency.error, 1)), own?.skips && t().details.skips(own.skips));
    return live ? t().details.latencyUnknown : null;
  },
  setup: ({ setup }) => milliseconds(setup.firstFrame),
  'setup-note': ({ setup }) =>
    setup.connected === null ? null : t().details.steps(round(setup.answered), round(setup.connected)),
  resolution: ({ stats, own }) => {
    const size = stats?.video?.width ? `${stats.video.width} × ${stats.video.height}` : null;
    return size && own?.rendition === 'small' ? t().details.reduced(size) : size;
  },
  fps: ({ stats, own }) =>
    stats?.video?.fps == null ? null : list(`${round(stats.video.fps)} fps`, own?.layers === 'base' && t().details.fewer(own.left_out ?? 0)),
  'video-bitrate': ({ stats }) => bitrate(stats?.video?.bitrate),
  'video-codec': ({ stats, camera }) => list(codec(stats?.video?.codec), camera?.encoder),
  'audio-bitrate': ({ stats, muted }) => (muted ? t().settings.muted : bitrate(stats?.audio?.bitrate)),
  'audio-codec': ({ stats }) => codec(stats?.audio?.codec),
  'audio-source': ({ status, isOperator }) => audioLabel(status?.audio, isOperator),
  'round-trip': ({ stats, controlRoundTrip }) => milliseconds(stats?.roundTrip ?? controlRoundTrip, 1),
  loss: ({ stats }) =>
    stats?.video?.lossPercent == null
      ? null
      : t().details.lost(round(stats.video.lossPercent, 1), stats.video.packetsLost ?? 0),
  'jitter-buffer': ({ stats }) =>
    list(milliseconds(stats?.video?.jitterBuffer), stats?.audio && t().details.audioDelay(milliseconds(stats.audio.jitterBuffer) ?? NONE)),
  capacity: ({ own }) => bitrate(own?.estimate),
  path: ({ stats }) => stats?.path ?? null,
  local: ({ stats }) => stats?.local ?? null,
  camera: ({ camera, isOperator }) => camera && (isOperator ? (camera.source ?? camera.device) : camera.name),
  capture: ({ camera }) =>
    camera?.width ? list(`${camera.width} × ${camera.height}`, camera.fps && `${round(camera.fps)} fps`, camera.format) : null,
  viewers: ({ status }) =>
    status?.viewers == null ? null : status.max_viewers ? t().details.ofMax(status.viewers, status.max_viewers) : `${status.viewers}`,
  version: ({ status }) => status && list(status.version, status.uptime_seconds && t().details.up(duration(status.uptime_seconds))),
};

/** How a graph's values are formatted. @type {Record<string, ((value: number) => string | null) | undefined>} */
const GRAPHS = {
  latency: (value) => milliseconds(value),
  fps: (value) => `${round(value)} fps`,
  'video-bitrate': bitrate,
  'round-trip': (value) => milliseconds(value, 1),
  loss: (value) => `${round(value, 1)} %`,
  'jitter-buffer': (value) => milliseconds(value),
};

export class StatsPanel {
  /** @type {{element: HTMLElement, format: (data: PanelData) => string | null}[]} */
  #rows = [];
  /** @type {Graph[]} */
  #graphs = [];

  /** @param {HTMLElement} root Contains elements with `data-stat` and `data-graph`. */
  constructor(root) {
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-stat]'))) {
      const format = ROWS[element.dataset.stat ?? ''];
      if (format) this.#rows.push({ element, format });
    }
    for (const place of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-graph]'))) {
      const name = place.dataset.graph ?? '';
      const format = GRAPHS[name];
      if (format) this.#graphs.push(new Graph(place, name, format));
    }
  }

  /** @param {PanelData} data */
  show(data) {
    for (const { element, format } of this.#rows) write(element, format(data) || NONE);
    for (const graph of this.#graphs) graph.draw(data.timeSeries);
  }
}

/** The graph of one value over two minutes. */
class Graph {
  #svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  #line = document.createElementNS('http://www.w3.org/2000/svg', 'path');

  /**
   * @param {HTMLElement} root
   * @param {string} name
   * @param {(value: number) => string | null} format
   */
  constructor(root, name, format) {
    this.root = root;
    this.name = name;
    this.format = format;
    this.#svg.setAttribute('viewBox', `0 -1 ${GRAPH_WIDTH} ${GRAPH_HEIGHT + 2}`);
    this.#svg.setAttribute('preserveAspectRatio', 'none');
    this.#svg.setAttribute('role', 'img');
    this.#svg.append(this.#line);
    root.append(this.#svg);
  }

  /** @param {TimeSeries | null} timeSeries */
  draw(timeSeries) {
    const points = timeSeries?.of(this.name) ?? [];
    const { min, max, count } = range(points);
    this.root.hidden = count < 2;
    if (count < 2) return;
    this.#line.setAttribute('d', linePath(points, GRAPH_WIDTH, GRAPH_HEIGHT));
    const what = this.root.parentElement?.querySelector('dt')?.textContent ?? '';
    this.#svg.setAttribute('aria-label', t().details.graph(what, this.format(min) ?? '', this.format(max) ?? ''));
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

/** @param {number | null | undefined} value Bits per second. */
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
function duration(seconds) {
  const [days, hours, minutes] = [86_400, 3_600, 60].map((unit) => Math.floor(seconds / unit));
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

/** @param {(string | number | null | undefined | false)[]} parts */
function list(...parts) {
  return parts.filter(Boolean).join(', ') || null;
}
