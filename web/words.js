/** What is the matter, in words for the person who looks. Pure: connection and status in, sentences out. */

import { diagnose, list } from './diagnosis.js';

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

/** The state in a word or two. @type {Record<ConnectionState | 'away' | 'signed-out', string>} */
export const STATE_WORDS = {
  stopped: 'Stopped',
  connecting: 'Connecting',
  live: 'Live',
  interrupted: 'Interrupted',
  waiting: 'Reconnecting',
  failed: 'No picture',
  away: 'No camera',
  'signed-out': 'Signed out',
};

/**
 * Whether the session stands and the camera does not: what is sent is the board's placeholder.
 * @param {Situation} situation
 */
export function isAway({ state, camera }) {
  return state === 'live' && camera?.state === 'fault';
}

/**
 * What stands in the middle of the page; null while there is a picture.
 * @param {Situation} situation
 * @returns {Words | null}
 */
export function notice(situation) {
  switch (situation.state) {
    case 'live':
    case 'interrupted':
      return isAway(situation) ? cameraAway(situation.camera?.fault ?? '') : null;
    case 'stopped':
      return { title: 'Stopped', text: 'The board sends nothing to this page.' };
    case 'connecting':
      // While attempts go on, the reason stays: words that come and go with each attempt cannot be read.
      return situation.error ? failure(situation, situation.error) : { title: 'Connecting', text: '' };
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
  switch (error.failure) {
    case 'ended':
      return { title: 'The board has ended the stream', text: 'It is shutting down or starting again.' };
    case 'unreachable':
      if (!online) return { title: 'This device is offline', text: 'The picture comes back with the network.' };
      if (saidGoodbye) return { title: 'The board has shut down', text: `It ended the stream and nothing answers at ${host} now.` };
      return {
        title: 'The board cannot be reached',
        text: `Nothing answers at ${host}. It may be off, starting, or on another network.`,
      };
    case 'timeout':
      return { title: 'The board does not answer', text: `${host} took the request, but no answer came in time.` };
    case 'lost':
      return { title: 'The connection broke', text: 'Nothing comes from the board any more.' };
    case 'gone':
      return { title: 'The board has started again', text: 'It knows this page no more.' };
    case 'no-path':
      if (error.evidence) return diagnose(error.evidence, host);
      return { title: 'The board answers, but no video comes through', text: '' };
    case 'browser':
      return { title: 'This browser cannot play the stream', text: sentence(error.message) };
    default:
      return refusal(situation, error);
  }
}

/**
 * @param {Situation} situation
 * @param {WhepError} error
 * @returns {Words}
 */
function refusal({ status, camera, wanted, saidGoodbye, host }, error) {
  const detail = sentence(error.detail);
  const names = status?.cameras.map(({ name }) => name) ?? [];
  switch (error.status) {
    case 401:
      return { title: 'Signed out', text: detail };
    case 403:
      return { title: 'The board does not let this page in', text: detail };
    case 404:
      return {
        title: wanted === null ? 'The board has no camera' : `The board has no camera “${wanted}”`,
        text: names.length > 0 ? `It has ${list(names)}.` : detail,
      };
    case 400:
    case 406:
    case 415:
      return { title: 'The board refused the offer of this browser', text: detail };
    case 409:
      return cameraAway(camera?.fault || error.detail);
    case 421: {
      const name = host.replace(/:\d+$/, '');
      return {
        title: `The board does not go by the name ${name}`,
        text: detail,
        steps: [`Add "${name}" to hosts in the section [http] of the board’s configuration, or use the board’s own name or address`],
      };
    }
    case 429:
      return { title: 'Too many requests', text: detail || 'The board takes no more requests from this address for the moment.' };
    case 503:
      if (saidGoodbye) return { title: 'The board has ended the stream', text: detail };
      return {
        title: 'The board takes no more viewers',
        text: full(status) || detail,
        steps: ['Close the page where nobody looks at it, or raise max_viewers in the section [rtc] of the board’s configuration'],
      };
    default:
      return { title: 'The board reports an error', text: detail || sentence(error.message) };
  }
}

/** @param {string} fault In the board's words. */
function cameraAway(fault) {
  return {
    title: 'The camera has no picture',
    text: sentence(fault),
    steps: [
      'Check that it is plugged in; the picture comes back by itself',
      'Run porthole devices on the board: it lists the cameras there are, for device in the section [[camera]]',
    ],
  };
}

/** @param {Status | null} status */
function full(status) {
  if (!status?.max_viewers || (status.viewers ?? 0) < status.max_viewers) return '';
  return status.max_viewers === 1 ? 'The only place is taken.' : `All ${status.max_viewers} places are taken.`;
}

/**
 * What else is to be known while there is a picture, the weightiest first.
 * @param {Situation} situation
 * @param {Date | null} stalledSince When the last picture came; null while they come.
 * @returns {string[]}
 */
export function remarks({ state, camera, status }, stalledSince) {
  const found = [];
  if (state === 'interrupted') found.push('Nothing comes from the board. Waiting for the connection');
  if (camera?.fault && camera.state !== 'fault') found.push(`Camera: ${camera.fault}`);
  else if (stalledSince && state === 'live') found.push(`No new picture since ${stalledSince.toLocaleTimeString()}`);
  if (status?.audio?.fault) found.push(`Sound: ${status.audio.fault}`);
  return found;
}

/**
 * Where the picture is from when it is not from a camera; empty when it is.
 * @param {Camera | null} camera
 */
export function patternWords(camera) {
  if (!camera?.pattern) return '';
  return camera.device === 'pattern' ? 'Test pattern' : 'No camera found: test pattern';
}

/** @param {Audio | null | undefined} audio */
export function audioWords(audio) {
  if (!audio) return null;
  if (audio.fault) return audio.fault;
  return audio.state === 'off' ? 'off' : (audio.source ?? audio.device);
}

/**
 * The board's messages are lower case without a full stop; on the page they are sentences.
 * @param {string} text
 */
export function sentence(text) {
  if (!text) return '';
  const upper = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}
