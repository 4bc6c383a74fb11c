/** The panel of figures: writes numbers with their units into the places that index.html has for them. */

import { audioWords } from './words.js';

/** @import { Figures } from './stats.js' */
/** @import { Latency } from './latency.js' */
/** @import { Camera, Status } from './status.js' */

/** Stands where there is no figure. */
const NONE = '–';

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
 */

/** @type {Record<string, ((facts: Facts) => string | null) | undefined>} */
const FIGURES = {
  latency: ({ latency, live }) => (live && !latency ? 'unknown' : latency && `${round(latency.median)} ms`),
  'latency-note': ({ latency, live }) => {
    if (latency) return `worst ${round(latency.worst)} ms, clocks ± ${round(latency.error, 1)} ms`;
    return live ? 'capture time or clock not told by browser or board' : null;
  },
  setup: ({ setup }) => milliseconds(setup.firstFrame),
  'setup-note': ({ setup }) =>
    setup.connected === null ? null : `answer ${round(setup.answered)} ms, connected ${round(setup.connected)} ms`,
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
      : `${round(figures.video.lossPercent, 1)} % (${figures.video.packetsLost ?? 0} lost)`,
  'jitter-buffer': ({ figures }) =>
    list(milliseconds(figures?.video?.jitterBuffer), figures?.audio && `sound ${milliseconds(figures.audio.jitterBuffer) ?? NONE}`),
  path: ({ figures }) => figures?.path ?? null,
  camera: ({ camera }) => camera && (camera.source ?? camera.device),
  capture: ({ camera }) =>
    camera?.width ? list(`${camera.width} × ${camera.height}`, camera.fps && `${round(camera.fps)} /s`, camera.format) : null,
  viewers: ({ status }) =>
    status?.viewers == null ? null : status.max_viewers ? `${status.viewers} of at most ${status.max_viewers}` : `${status.viewers}`,
  version: ({ status }) => status && list(status.version, status.uptime_seconds && `up ${span(status.uptime_seconds)}`),
};

export class Panel {
  /** @type {{element: HTMLElement, write: (facts: Facts) => string | null}[]} */
  #places = [];

  /** @param {HTMLElement} root Holds elements with `data-figure`. */
  constructor(root) {
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-figure]'))) {
      const write = FIGURES[element.dataset.figure ?? ''];
      if (write) this.#places.push({ element, write });
    }
  }

  /** @param {Facts} facts */
  show(facts) {
    for (const { element, write } of this.#places) {
      const text = write(facts) || NONE;
      if (element.textContent !== text) element.textContent = text;
    }
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
