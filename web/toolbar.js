/** The buttons below the picture: what each says and shows. What they do does not belong here. */

import { element, label } from './elements.js';
import { text } from './i18n.js';
import { clock } from './recorder.js';

/**
 * @typedef {object} Doing
 * @property {boolean} connected
 * @property {boolean} running Whether a connection is there or looked for.
 * @property {boolean} present Whether the board can be asked for something.
 * @property {boolean} silent Whether there is no sound to be had.
 * @property {boolean} muted
 * @property {import('./captures.js').Takes} takes
 * @property {import('./fullscreen.js').Screen} screen
 * @property {number} unread
 */

export class Toolbar {
  constructor() {
    const button = (/** @type {string} */ id) => element(id, HTMLButtonElement);
    this.sound = button('sound');
    this.photo = button('photo');
    this.record = button('record');
    this.hangUp = button('hang-up');
    this.people = button('people');
    this.window = button('window');
    this.fullScreen = button('full-screen');
  }

  /** @param {Doing} doing */
  show({ connected, running, present, silent, muted, takes, screen, unread }) {
    const words = text().buttons;
    const { photographing, recorder } = takes;
    const off = silent && connected;
    label(this.sound, muted || off ? 'muted' : 'sound', off ? words.sound.none : muted ? words.sound.off : words.sound.on);
    this.sound.disabled = off;
    this.sound.classList.toggle('wanted', !off && muted && connected);

    label(this.photo, 'photo', photographing ? words.photo.busy : words.photo.text);
    this.photo.disabled = !present || photographing;

    label(this.record, recorder.running ? 'stop' : 'record', recorder.running ? words.record.stop(clock(recorder.length)) : words.record.text);
    this.record.hidden = !recorder.able;
    this.record.disabled = !connected && !recorder.running;
    this.record.classList.toggle('records', recorder.running);

    label(this.hangUp, running ? 'hang-up' : 'start', running ? words.hangUp.text : words.hangUp.start);
    this.hangUp.classList.toggle('ends', running);

    this.people.dataset.unread = unread > 0 ? String(Math.min(unread, 99)) : '';
    if (unread > 0) this.people.setAttribute('aria-label', words.people.unread(unread));
    else this.people.removeAttribute('aria-label');

    this.window.hidden = !screen.canFloat;
    this.window.disabled = !connected;
    this.window.setAttribute('aria-pressed', String(screen.floating));
    this.fullScreen.hidden = !screen.canFill;
    this.fullScreen.setAttribute('aria-pressed', String(screen.full));
  }
}
