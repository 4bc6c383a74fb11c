/** The buttons below the video: their icons, labels and states. What they do is elsewhere. */

import { element, label } from './elements.js';
import { t } from './i18n.js';
import { clock } from './recorder.js';

/**
 * @typedef {object} ToolbarState
 * @property {boolean} connected
 * @property {boolean} running Whether a connection exists or is being established.
 * @property {boolean} boardReachable Whether requests can be sent to the board.
 * @property {boolean} noAudio Whether there is no audio.
 * @property {boolean} muted
 * @property {import('./captures.js').Captures} captures
 * @property {import('./fullscreen.js').Display} display
 * @property {number} unread
 */

export class Toolbar {
  constructor() {
    const button = (/** @type {string} */ id) => element(id, HTMLButtonElement);
    this.mute = button('mute');
    this.photo = button('photo');
    this.record = button('record');
    this.hangUp = button('hang-up');
    this.people = button('people');
    this.pip = button('pip');
    this.fullScreen = button('full-screen');
  }

  /** @param {ToolbarState} state */
  show({ connected, running, boardReachable, noAudio, muted, captures, display, unread }) {
    const texts = t().buttons;
    const { takingSnapshot, recorder } = captures;
    const unavailable = noAudio && connected;
    label(this.mute, muted || unavailable ? 'muted' : 'unmuted', unavailable ? texts.mute.none : muted ? texts.mute.off : texts.mute.on);
    this.mute.disabled = unavailable;
    this.mute.classList.toggle('highlighted', !unavailable && muted && connected);

    label(this.photo, 'photo', takingSnapshot ? texts.photo.busy : texts.photo.text);
    this.photo.disabled = !boardReachable || takingSnapshot;

    label(this.record, recorder.running ? 'stop' : 'record', recorder.running ? texts.record.stop(clock(recorder.elapsed)) : texts.record.text);
    this.record.hidden = !recorder.supported;
    this.record.disabled = !connected && !recorder.running;
    this.record.classList.toggle('recording', recorder.running);

    label(this.hangUp, running ? 'hang-up' : 'start', running ? texts.hangUp.text : texts.hangUp.start);
    this.hangUp.classList.toggle('hangs-up', running);

    this.people.dataset.unread = unread > 0 ? String(Math.min(unread, 99)) : '';
    if (unread > 0) this.people.setAttribute('aria-label', texts.people.unread(unread));
    else this.people.removeAttribute('aria-label');

    this.pip.hidden = !display.canPictureInPicture;
    this.pip.disabled = !connected;
    this.pip.setAttribute('aria-pressed', String(display.inPictureInPicture));
    this.fullScreen.hidden = !display.canFullscreen;
    this.fullScreen.setAttribute('aria-pressed', String(display.isFullscreen));
  }
}
