/** The pane of settings: joins its menus, forms and the camera's controls to what the board says and this viewer wishes. */

import { DialForm } from './camera-controls.js';
import { QualityForm, RefusedEvent } from './encoder-settings.js';
import { ChosenEvent, SourceMenus } from './source-menus.js';

/** @import { Camera, Status } from './status.js' */
/** @import { Viewing } from './board-client.js' */

/** Events: `camera` and `microphone` (ChosenEvent), `refused` (RefusedEvent). */
export class Settings extends EventTarget {
  #open = false;
  #learned = false;
  /** Whether the board was asked to throw the privacy switch, and has not answered yet. */
  #cutting = false;

  /**
   * @param {HTMLElement} root
   * @param {HTMLSelectElement} above The menu of cameras above the picture.
   * @param {Viewing} viewing
   */
  constructor(root, above, viewing) {
    super();
    this.viewing = viewing;
    const place = (/** @type {string} */ selector) => /** @type {any} */ (root.querySelector(selector));
    /** @type {HTMLElement} */
    this.only = place('#only');
    this.source = new SourceMenus([above, place('#source-camera')], place('#microphone'));
    this.quality = new QualityForm(place('#quality'), viewing);
    this.dials = new DialForm(place('#camera-controls'), viewing);
    /** @type {NodeListOf<HTMLInputElement>} */
    this.latency = root.querySelectorAll('[name=latency]');
    /** @type {HTMLInputElement} */
    this.privacy = place('#privacy');
    for (const kind of ['camera', 'microphone']) {
      this.source.addEventListener(kind, (event) => this.dispatchEvent(new ChosenEvent(kind, /** @type {ChosenEvent} */ (event).value)));
    }
    for (const form of [this.quality, this.dials]) {
      form.addEventListener('refused', (event) => this.#refused(/** @type {RefusedEvent} */ (event).why));
    }
    for (const choice of this.latency) choice.addEventListener('change', () => this.#attempt(viewing.wish({ latency: choice.value === 'smooth' ? 'smooth' : 'low' })));
    this.privacy.addEventListener('change', () => this.#attempt(this.#cut(this.privacy.checked)));
    viewing.addEventListener('change', () => {
      this.#learned &&= viewing.present;
      this.#learn();
    });
  }

  /** @param {boolean} open Whether the pane is seen. */
  open(open) {
    this.#open = open;
    this.#learn();
  }

  /**
   * @param {Status | null} status
   * @param {Camera | null} camera The one that is watched.
   * @param {string | null} name Its name as far as it is known.
   * @param {boolean} heard Whether the sound is on.
   */
  show(status, camera, name, heard) {
    const { viewing } = this;
    this.source.show(status, name, heard);
    this.only.hidden = viewing.you === null || viewing.operates;
    for (const choice of this.latency) {
      choice.checked = choice.value === viewing.wishes.latency;
      choice.disabled = !viewing.present;
    }
    this.privacy.disabled = !viewing.operates;
    if (!this.#cutting) this.privacy.checked = status?.privacy === true;
    this.quality.show(camera);
    // Asked for only where somebody looks.
    if (this.#open || !viewing.present) this.dials.show(viewing.present && viewing.you ? (camera?.name ?? null) : null);
  }

  /** @param {boolean} on Whether cameras and microphone shall be closed. */
  async #cut(on) {
    this.#cutting = true;
    try {
      await this.viewing.ask('privacy.set', { on });
      // The board's own word of it comes a moment later, and the switch shall not go back meanwhile.
      this.viewing.learn({ privacy: on });
    } finally {
      this.#cutting = false;
    }
  }

  /** @param {Promise<void>} asked What the board was asked for. */
  async #attempt(asked) {
    try {
      await asked;
    } catch (error) {
      this.#refused(/** @type {Error} */ (error).message);
    }
  }

  #learn() {
    if (!this.#open || this.#learned || !this.viewing.operates) return;
    this.#learned = true;
    this.quality.learn();
  }

  /** @param {string} why */
  #refused(why) {
    this.dispatchEvent(new RefusedEvent(why));
  }
}
