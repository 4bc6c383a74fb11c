/** What is the matter, in words for the person who looks. Pure: connection and status in, sentences out. */

import { diagnose, list } from './diagnosis.js';
import { locale, text } from './i18n.js';

/** @import { WhepError } from './whep.js' */
/** @import { ConnectionState } from './connection.js' */
/** @import { Audio, Camera, Status } from './status.js' */

/**
 * @typedef {object} Situation
 * @property {ConnectionState} state
 * @property {WhepError | null} error
 * @property {boolean} saidGoodbye The board ended the stream itself and has not been seen since.
 * @property {boolean} online What the browser says about its own network.
 * @property {string} host
 * @property {string | null} wanted The camera's name as asked for, null for the first.
 * @property {Camera | null} camera
 * @property {Status | null} status
 *
 * @typedef {object} Words
 * @property {string} title
 * @property {string} text
 * @property {string[]} [steps] What a person can do about it, mostly on the board.
 * @property {string[]} [tried] What was tried, in figures.
 */

/**
 * Whether the session stands and the camera does not: what is sent is the board's placeholder.
 * @param {Situation} situation
 */
export function isAway({ state, camera }) {
  return state === 'live' && camera?.state === 'fault';
}

/**
 * Whether the session stands and the privacy switch keeps every camera closed.
 * @param {Situation} situation
 */
export function isCut({ state, status }) {
  return state === 'live' && status?.privacy === true;
}

/**
 * What stands in the middle of the page; null while there is a picture.
 * @param {Situation} situation
 * @returns {Words | null}
 */
export function notice(situation) {
  const { notices } = text();
  switch (situation.state) {
    case 'live':
    case 'interrupted':
      if (isCut(situation)) return notices.cut;
      return isAway(situation) ? cameraAway(situation.camera?.fault ?? '') : null;
    case 'stopped':
      return notices.stopped;
    case 'connecting':
      // While attempts go on, the reason stays: words that come and go with each attempt cannot be read.
      return situation.error ? failure(situation, situation.error) : { title: notices.connecting, text: '' };
    default:
      return situation.error && failure(situation, situation.error);
  }
}

/**
 * @param {Situation} situation
 * @param {WhepError} error
 * @returns {Words}
 */
function failure(situation, error) {
  const { host, online, saidGoodbye } = situation;
  const { notices } = text();
  switch (error.failure) {
    case 'ended':
      return error.reason === 'kicked' ? notices.kicked : notices.ended;
    case 'unreachable':
      if (!online) return notices.offline;
      return at(saidGoodbye ? notices.shutDown : notices.unreachable, host);
    case 'timeout':
      return at(notices.timeout, host);
    case 'lost':
      return notices.lost;
    case 'gone':
      return notices.gone;
    case 'no-path':
      if (error.evidence) return diagnose(error.evidence, host);
      return { title: notices.noPath, text: '' };
    case 'browser':
      return { title: notices.browser, text: sentence(error.message) };
    default:
      return refusal(situation, error);
  }
}

/**
 * @param {{title: string, text: (host: string) => string}} words
 * @param {string} host
 */
function at(words, host) {
  return { title: words.title, text: words.text(host) };
}

/**
 * @param {Situation} situation
 * @param {WhepError} error
 * @returns {Words}
 */
function refusal({ status, camera, wanted, saidGoodbye, host }, error) {
  const { notices } = text();
  const detail = sentence(error.detail);
  const names = status?.cameras.map(({ name }) => name) ?? [];
  switch (error.status) {
    case 401:
      return { title: notices.signedOut, text: detail };
    case 403:
      return { title: notices.forbidden, text: detail };
    case 404:
      return {
        title: wanted === null ? notices.noCamera : notices.noSuchCamera(wanted),
        text: names.length > 0 ? notices.itHas(list(names)) : detail,
      };
    case 400:
    case 406:
    case 415:
      return { title: notices.offer, text: detail };
    case 409:
      return cameraAway(camera?.fault || error.detail);
    case 421: {
      const name = host.replace(/:\d+$/, '');
      return { title: notices.name.title(name), text: detail, steps: [notices.name.step(name)] };
    }
    case 429:
      return { title: notices.tooMany.title, text: detail || notices.tooMany.text };
    case 503:
      if (saidGoodbye) return { title: notices.ended.title, text: detail };
      return { title: notices.full.title, text: full(status) || detail, steps: [notices.full.step] };
    default:
      return { title: notices.error, text: detail || sentence(error.message) };
  }
}

/** @param {string} fault In the board's words. */
function cameraAway(fault) {
  const { title, steps } = text().notices.away;
  return { title, text: sentence(fault), steps };
}

/** @param {Status | null} status */
function full(status) {
  if (!status?.max_viewers || (status.viewers ?? 0) < status.max_viewers) return '';
  const { only, all } = text().notices.full;
  return status.max_viewers === 1 ? only : all(status.max_viewers);
}

/**
 * What else is to be known while there is a picture, the weightiest first.
 * @param {Situation} situation
 * @param {Date | null} stalledSince When the last picture came; null while they come.
 * @returns {string[]}
 */
export function remarks({ state, camera, status }, stalledSince) {
  const words = text().remarks;
  const found = [];
  if (state === 'interrupted') found.push(words.interrupted);
  if (camera?.fault && camera.state !== 'fault') found.push(words.camera(camera.fault));
  else if (stalledSince && state === 'live') found.push(words.stalled(stalledSince.toLocaleTimeString(locale())));
  if (status?.audio?.fault) found.push(words.sound(status.audio.fault));
  return found;
}

/**
 * Where the picture is from when it is not from a camera; empty when it is.
 * @param {Camera | null} camera
 */
export function patternWords(camera) {
  if (!camera?.pattern) return '';
  const { pattern, noneFound } = text().remarks;
  return camera.device === 'pattern' ? pattern : noneFound;
}

/** @param {Audio | null | undefined} audio */
export function audioWords(audio) {
  if (!audio) return null;
  if (audio.fault) return audio.fault;
  return audio.state === 'off' ? text().details.off : (audio.source ?? audio.device);
}

/**
 * The board's messages are lower case without a full stop; on the page they are sentences.
 * @param {string} words
 */
export function sentence(words) {
  if (!words) return '';
  const upper = words[0].toUpperCase() + words.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}
