/** Messages to the user about the connection, the cameras and audio. Pure: connection and status in, sentences out. */

import { diagnose, list } from './diagnosis.js';
import { locale, t } from './i18n.js';

/** @import { WhepError } from './whep.js' */
/** @import { ConnectionState } from './connection.js' */
/** @import { Audio, Camera, Status } from './status.js' */

/**
 * @typedef {object} Situation
 * @property {ConnectionState} state
 * @property {WhepError | null} error
 * @property {boolean} endedByBoard Whether the board ended the stream and has not been reached since.
 * @property {boolean} online What the browser says about its network.
 * @property {string} host
 * @property {string | null} requestedCamera The requested camera's name; null for the first.
 * @property {Camera | null} camera
 * @property {Status | null} status
 * @property {boolean} isOperator Whether the board's devices and configuration are this user's business.
 * @property {boolean} fallback Whether MJPEG is shown, because WebRTC does not work for the reason in `error`.
 * @property {number} interruptedFor How long nothing has arrived while `interrupted`, in milliseconds.
 *
 * @typedef {object} Message
 * @property {string} title
 * @property {string} text
 * @property {string[]} [steps] What the user can do about it, mostly on the board.
 * @property {string[]} [tried] What was tried, one line each.
 */

/** After this long an interruption is no longer a hiccup: the last frame gives way to what is the matter. */
const HICCUP_MS = 4_000;

/**
 * Whether nothing has arrived for so long that the user should know.
 * @param {Situation} situation
 */
export function isLost({ state, online, interruptedFor }) {
  return state === 'interrupted' && (!online || interruptedFor > HICCUP_MS);
}

/**
 * Whether the session is live but the camera is not: the board sends its placeholder.
 * @param {Situation} situation
 */
export function isCameraDown({ state, camera }) {
  return state === 'live' && camera?.state === 'fault';
}

/**
 * Whether the session is live and the privacy switch keeps all cameras closed.
 * @param {Situation} situation
 */
export function isPrivacyOn({ state, status }) {
  return state === 'live' && status?.privacy === true;
}

/**
 * The message in the middle of the page; null while there is video.
 * @param {Situation} situation
 * @returns {Message | null}
 */
export function message(situation) {
  const { notices } = t();
  switch (situation.state) {
    case 'live':
    case 'interrupted':
      if (isPrivacyOn(situation)) return privacy(situation.status?.privacy_kept === false);
      if (isLost(situation)) return situation.online ? notices.interrupted : notices.offline;
      return isCameraDown(situation) ? cameraDown(situation.camera?.fault ?? '', situation.isOperator) : null;
    case 'stopped':
      return notices.stopped;
    case 'connecting':
      // The reason stays while attempts go on: text that changes with each attempt cannot be read.
      return situation.error ? failure(situation, situation.error) : { title: notices.connecting, text: '' };
    default:
      return situation.error && failure(situation, situation.error);
  }
}

/** @param {boolean} unkept Whether a restart of the board may turn the camera on. */
function privacy(unkept) {
  const { title, text, unkept: warning } = t().notices.privacy;
  return { title, text: unkept ? `${warning} ${text}` : text };
}

/**
 * @param {Situation} situation
 * @param {WhepError} error
 * @returns {Message}
 */
function failure(situation, error) {
  const { host, online, endedByBoard, isOperator } = situation;
  const { notices } = t();
  switch (error.failure) {
    case 'ended':
      return error.reason === 'kicked' ? notices.kicked : notices.ended;
    case 'unreachable':
      if (!online) return notices.offline;
      return forHost(endedByBoard ? notices.shutDown : notices.unreachable, host);
    case 'timeout':
      return forHost(notices.timeout, host);
    case 'lost':
      return notices.lost;
    case 'gone':
      return notices.gone;
    case 'no-path':
      if (error.evidence) return diagnose(error.evidence, host, isOperator);
      return { title: notices.noPath, text: '' };
    case 'browser':
      if (error.reason === 'no-webrtc') return { title: notices.browser, ...notices.noWebRtc };
      // The browser's own words are for who looks for the cause.
      return { title: notices.browser, text: notices.otherBrowser, tried: [error.message] };
    default:
      return refusal(situation, error);
  }
}

/**
 * @param {{title: string, text: (host: string) => string}} texts
 * @param {string} host
 */
function forHost(texts, host) {
  return { title: texts.title, text: texts.text(host) };
}

/**
 * @param {Situation} situation
 * @param {WhepError} error
 * @returns {Message}
 */
function refusal({ status, camera, requestedCamera, endedByBoard, host, isOperator }, error) {
  const { notices } = t();
  const detail = sentence(error.detail);
  const names = status?.cameras.map(({ name }) => name) ?? [];
  switch (error.status) {
    case 401:
      return { title: notices.signedOut, text: detail };
    case 403:
      return { title: notices.forbidden, text: detail };
    case 404:
      return {
        title: requestedCamera === null ? notices.noCamera : notices.noSuchCamera(requestedCamera),
        text: names.length > 0 ? notices.availableCameras(list(names)) : detail,
      };
    case 406:
      if (/no H\.264/.test(error.detail)) return notices.noH264;
      return { title: notices.offer, text: detail };
    case 400:
    case 415:
      return { title: notices.offer, text: detail };
    case 409:
      return cameraDown(camera?.fault || error.detail, isOperator);
    case 421: {
      const name = host.replace(/:\d+$/, '');
      return { title: notices.hostname.title(name), text: detail, steps: isOperator ? [notices.hostname.step(name)] : [] };
    }
    case 429:
      return { title: notices.tooMany.title, text: detail || notices.tooMany.text };
    case 503:
      if (endedByBoard) return { title: notices.ended.title, text: detail };
      return { title: notices.full.title, text: full(status) || detail, steps: [isOperator ? notices.full.step : notices.full.viewerStep] };
    default:
      return { title: notices.error, text: detail || sentence(error.message) };
  }
}

/**
 * @param {string} fault As reported by the board, with its devices.
 * @param {boolean} isOperator
 */
function cameraDown(fault, isOperator) {
  const { title, steps, viewerText } = t().notices.noCameraVideo;
  return isOperator ? { title, text: sentence(fault), steps } : { title, text: viewerText };
}

/** @param {Status | null} status */
function full(status) {
  if (!status?.max_viewers || (status.viewers ?? 0) < status.max_viewers) return '';
  const { only, all } = t().notices.full;
  return status.max_viewers === 1 ? only : all(status.max_viewers);
}

/**
 * Warnings to show over the video, the most important first.
 * @param {Situation} situation
 * @param {Date | null} stalledSince When the last frame arrived if the video has stalled, otherwise null.
 * @returns {string[]}
 */
export function warnings({ state, camera, status, isOperator }, stalledSince) {
  const texts = t().warnings;
  const active = [];
  if (state === 'interrupted') active.push(texts.interrupted);
  if (camera?.fault && camera.state !== 'fault') active.push(isOperator ? texts.camera(camera.fault) : texts.cameraFault);
  else if (stalledSince && state === 'live') active.push(texts.stalled(stalledSince.toLocaleTimeString(locale())));
  if (status?.audio?.fault) active.push(isOperator ? texts.audio(status.audio.fault) : texts.audioFault);
  if (status?.speaker?.fault) active.push(isOperator ? texts.speaker(status.speaker.fault) : texts.speakerFault);
  return active;
}

/**
 * The label of video that is not from a camera; empty otherwise.
 * @param {Camera | null} camera
 */
export function patternLabel(camera) {
  if (!camera?.pattern) return '';
  const { pattern, noneFound } = t().warnings;
  return camera.device === 'pattern' ? pattern : noneFound;
}

/**
 * Who talks; empty if nobody does.
 * @param {Status | null} status
 * @param {boolean} you Whether it is this viewer.
 */
export function talkerLabel(status, you) {
  const talker = status?.speaker?.talker ?? null;
  if (you) return t().talk.you;
  return talker === null ? '' : t().talk.by(isolate(talker) || t().people.unnamed);
}

/**
 * @param {Audio | null | undefined} audio
 * @param {boolean} isOperator
 */
export function audioLabel(audio, isOperator) {
  if (!audio) return null;
  if (audio.state === 'off') return t().details.off;
  if (!isOperator) return audio.fault ? t().warnings.audioFault : t().settings.microphone;
  return audio.fault ?? audio.source ?? audio.device;
}

/**
 * A notice of the board in the page's language; in the board's words if this page does not know it.
 * @param {{text: string, code?: string, values?: Record<string, string>}} notice
 */
export function boardNotice({ text, code = '', values = {} }) {
  const { by, name, camera } = values;
  const known = /** @type {Record<string, ((by: string, what: string) => string) | undefined>} */ (t().boardNotices)[code];
  return known?.(isolate(by), isolate(name ?? camera)) ?? sentence(text);
}

/**
 * A name for use within a sentence: letters that run from right to left do not change the order of the words around it.
 * @param {string} [name]
 */
export function isolate(name = '') {
  return /[\u0590-\u08ff\ufb1d-\ufefc]/.test(name) ? `\u2068${name}\u2069` : name;
}

/**
 * Turns the board's messages, which are lower case without a full stop, into sentences.
 * @param {string} text
 */
export function sentence(text) {
  if (!text) return '';
  const upper = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}
