/** The settings pane: connects its menus, the encoder settings and the camera's controls to the board and to the preferences. */

import { ControlForm } from './camera-controls.js';
import { EncoderSettings, RejectedEvent } from './encoder-settings.js';
import { SelectionEvent, SourceMenus } from './source-menus.js';

/** @import { Camera, Status } from './status.js' */
/** @import { BoardClient } from './board-client.js' */

/** Events: `camera` and `microphone` (SelectionEvent), `rejected` (RejectedEvent). */
export class Settings extends EventTarget {
  #open = false;
  #sizesLoaded = false;
  /** Whether a request to set the privacy switch is pending. */
  #settingPrivacy = false;

  /**
   * @param {HTMLElement} root
   * @param {HTMLSelectElement} topMenu The camera menu over the video.
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
    this.dataSaver = find('#data-saver');
    /** @type {HTMLInputElement} */
    this.privacy = find('#privacy');
    /** @type {HTMLElement} */
    this.privacyNote = find('#privacy-note');
    for (const kind of ['camera', 'microphone']) {
      this.source.addEventListener(kind, (event) => this.dispatchEvent(new SelectionEvent(kind, /** @type {SelectionEvent} */ (event).value)));
    }
    for (const form of [this.encoder, this.controls]) {
      form.addEventListener('rejected', (event) => this.#reject(/** @type {RejectedEvent} */ (event).reason));
    }
    for (const choice of this.latency) choice.addEventListener('change', () => this.#attempt(client.setPreferences({ latency: choice.value === 'smooth' ? 'smooth' : 'low' })));
    this.dataSaver.addEventListener('change', () => this.#attempt(client.setPreferences({ dataSaver: this.dataSaver.checked })));
    this.privacy.addEventListener('change', () => this.#attempt(this.#setPrivacy(this.privacy.checked)));
    client.addEventListener('change', () => {
      this.#sizesLoaded &&= client.connected;
      this.#loadSizes();
    });
  }

  /** @param {boolean} open Whether the pane is visible. */
  open(open) {
    this.#open = open;
    this.#loadSizes();
  }

  /**
   * @param {Status | null} status
   * @param {Camera | null} camera The current camera.
   * @param {string | null} name Its name, if known.
   * @param {boolean} audioOn Whether audio is on.
   */
  show(status, camera, name, audioOn) {
    const { client } = this;
    this.source.show(status, name, audioOn, client.you?.role !== 'viewer');
    this.viewerNote.hidden = client.you === null || client.isOperator;
    for (const choice of this.latency) {
      choice.checked = choice.value === client.preferences.latency;
      choice.disabled = !client.connected;
    }
    this.dataSaver.checked = client.preferences.dataSaver;
    this.privacy.disabled = !client.isOperator;
    if (!this.#settingPrivacy) this.privacy.checked = status?.privacy === true;
    this.privacyNote.hidden = status?.privacy_kept !== false;
    this.encoder.show(camera);
    // Loaded only while the pane is open.
    if (this.#open || !client.connected) this.controls.show(client.connected && client.you ? (camera?.name ?? null) : null);
  }

  /** @param {boolean} on Whether to close cameras and microphone. */
  async #setPrivacy(on) {
    this.#settingPrivacy = true;
    try {
      const { kept } = await this.client.request('privacy.set', { on });
      // The board's event arrives a moment later; until then the switch must not flip back.
      this.client.mergeStatus({ privacy: on, privacy_kept: kept });
    } finally {
      this.#settingPrivacy = false;
    }
  }

  /** @param {Promise<void>} asked A pending request. */
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
