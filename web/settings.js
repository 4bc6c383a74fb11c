/** The pane of settings: joins its menus, forms and the camera's controls to what the board says and this viewer wishes. */

import { ControlForm } from './camera-controls.js';
import { EncoderSettings, RejectedEvent } from './encoder-settings.js';
import { SelectionEvent, SourceMenus } from './source-menus.js';

/** @import { Camera, Status } from './status.js' */
/** @import { BoardClient } from './board-client.js' */

/** Events: `camera` and `microphone` (SelectionEvent), `rejected` (RejectedEvent). */
export class Settings extends EventTarget {
  #open = false;
  #sizesLoaded = false;
  /** Whether the board was asked to throw the privacy switch, and has not answered yet. */
  #settingPrivacy = false;

  /**
   * @param {HTMLElement} root
   * @param {HTMLSelectElement} topMenu The menu of cameras topMenu the picture.
   * @param {BoardClient} client
   */
  constructor(root, topMenu, client) {
    super();
    this.client = client;
    const find = (/** @type {string} */ selector) => /** @type {any} */ (root.querySelector(selector));
    /** @type {HTMLElement} */
    this.viewerNote = find('#viewer-note');
    this.source = new SourceMenus([topMenu, find('#source-camera')], find('#microphone'));
    this.encoder = new EncoderSettings(find('#quality'), client);
    this.controls = new ControlForm(find('#camera-controls'), client);
    /** @type {NodeListOf<HTMLInputElement>} */
    this.latency = root.querySelectorAll('[name=latency]');
    /** @type {HTMLInputElement} */
    this.privacy = find('#privacy');
    for (const kind of ['camera', 'microphone']) {
      this.source.addEventListener(kind, (event) => this.dispatchEvent(new SelectionEvent(kind, /** @type {SelectionEvent} */ (event).value)));
    }
    for (const form of [this.encoder, this.controls]) {
      form.addEventListener('rejected', (event) => this.#reject(/** @type {RejectedEvent} */ (event).reason));
    }
    for (const choice of this.latency) choice.addEventListener('change', () => this.#attempt(client.setPreferences({ latency: choice.value === 'smooth' ? 'smooth' : 'low' })));
    this.privacy.addEventListener('change', () => this.#attempt(this.#setPrivacy(this.privacy.checked)));
    client.addEventListener('change', () => {
      this.#sizesLoaded &&= client.connected;
      this.#loadSizes();
    });
  }

  /** @param {boolean} open Whether the pane is seen. */
  open(open) {
    this.#open = open;
    this.#loadSizes();
  }

  /**
   * @param {Status | null} status
   * @param {Camera | null} camera The one that is watched.
   * @param {string | null} name Its name as far as it is known.
   * @param {boolean} audioOn Whether the sound is on.
   */
  show(status, camera, name, audioOn) {
    const { client } = this;
    this.source.show(status, name, audioOn);
    this.viewerNote.hidden = client.you === null || client.isOperator;
    for (const choice of this.latency) {
      choice.checked = choice.value === client.preferences.latency;
      choice.disabled = !client.connected;
    }
    this.privacy.disabled = !client.isOperator;
    if (!this.#settingPrivacy) this.privacy.checked = status?.privacy === true;
    this.encoder.show(camera);
    // Asked for only where somebody looks.
    if (this.#open || !client.connected) this.controls.show(client.connected && client.you ? (camera?.name ?? null) : null);
  }

  /** @param {boolean} on Whether cameras and microphone shall be closed. */
  async #setPrivacy(on) {
    this.#settingPrivacy = true;
    try {
      await this.client.request('privacy.set', { on });
      // The board's own word of it comes a moment later, and the switch shall not go back meanwhile.
      this.client.mergeStatus({ privacy: on });
    } finally {
      this.#settingPrivacy = false;
    }
  }

  /** @param {Promise<void>} asked What the board was asked for. */
  async #attempt(asked) {
    try {
      await asked;
    } catch (error) {
      this.#reject(/** @type {Error} */ (error).message);
    }
  }

  #loadSizes() {
    if (!this.#open || this.#sizesLoaded || !this.client.isOperator) return;
    this.#sizesLoaded = true;
    this.encoder.loadSizes();
  }

  /** @param {string} reason */
  #reject(reason) {
    this.dispatchEvent(new RejectedEvent(reason));
  }
}
