/** Menus for the camera and the audio that this viewer receives, filled from the board's status. */

import { choices } from './elements.js';
import { t } from './i18n.js';

/** @import { Status } from './status.js' */

/** Events: `camera` (a SelectionEvent), `microphone` (a SelectionEvent, empty for none). */
export class SourceMenus extends EventTarget {
  /**
   * @param {HTMLSelectElement[]} cameras Camera menus, all with the same entries.
   * @param {HTMLSelectElement} microphone
   */
  constructor(cameras, microphone) {
    super();
    this.cameras = cameras;
    this.microphone = microphone;
    for (const menu of cameras) menu.addEventListener('change', () => this.dispatchEvent(new SelectionEvent('camera', menu.value)));
    microphone.addEventListener('change', () => this.dispatchEvent(new SelectionEvent('microphone', microphone.value)));
  }

  /**
   * @param {Status | null} status Null keeps what is shown.
   * @param {string | null} camera The current one; null for the first.
   * @param {boolean} audioOn Whether audio is on.
   * @param {boolean} isOperator Whether to name devices.
   */
  show(status, camera, audioOn, isOperator) {
    if (!status) return;
    const names = status.cameras.map(({ name }) => name);
    const entries = names.map((name) => ({ value: name, text: name }));
    // An unknown camera is not an entry: the menu shows no selection.
    for (const menu of this.cameras) choices(menu, entries, camera ?? names[0] ?? '');
    const { audio } = status;
    const available = audio !== null && audio.state !== 'off';
    const none = { value: '', text: available ? t().settings.muted : t().settings.noAudio };
    // To viewers, names of devices say nothing.
    const source = isOperator ? (audio?.source ?? audio?.device ?? '') : t().settings.microphone;
    choices(this.microphone, available ? [{ value: source, text: source }, none] : [none], available && audioOn ? source : '');
    this.microphone.disabled = !available;
  }
}

/** An entry was selected from a menu. */
export class SelectionEvent extends Event {
  /**
   * @param {string} type
   * @param {string} value
   */
  constructor(type, value) {
    super(type);
    this.value = value;
  }
}
