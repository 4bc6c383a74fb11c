/** What a viewer takes along: photos in the camera's full size, which the board makes, and recordings, which this browser makes. */

import { text } from './i18n.js';
import { Recorder } from './recorder.js';
import { fileName, save } from './download.js';

/** @import { DoneEvent } from './recorder.js' */
/** @import { Toasts } from './toasts.js' */
/** @import { Viewing } from './board-client.js' */

/** Events: `change` when a photo or a recording began, went on or ended. */
export class Takes extends EventTarget {
  recorder = new Recorder();
  photographing = false;

  /**
   * @param {Viewing} viewing
   * @param {Toasts} toasts
   * @param {() => string} camera The name of the one that is watched.
   */
  constructor(viewing, toasts, camera) {
    super();
    this.viewing = viewing;
    this.toasts = toasts;
    this.camera = camera;
    this.recorder.addEventListener('change', () => this.dispatchEvent(new Event('change')));
    this.recorder.addEventListener('done', (event) => {
      const { blob, begun, extension } = /** @type {DoneEvent} */ (event);
      this.#save(blob, begun, extension);
    });
  }

  async photo() {
    const { control } = this.viewing;
    if (this.photographing || !control?.open) return;
    this.#photographs(true);
    try {
      const { blob } = await control.snapshot();
      this.#save(blob, new Date(), 'jpg');
    } catch (error) {
      this.#refused(text().buttons.photo.text, error);
    }
    this.#photographs(false);
  }

  /** @param {MediaStream | null} stream What is recorded; null: nothing is there. */
  toggleRecording(stream) {
    if (this.recorder.running) {
      this.recorder.stop();
    } else if (stream) {
      try {
        this.recorder.start(stream);
      } catch (error) {
        this.#refused(text().buttons.record.text, error);
      }
    }
  }

  /**
   * @param {Blob} content
   * @param {Date} when
   * @param {string} extension
   */
  #save(content, when, extension) {
    const name = fileName(this.camera(), when, extension);
    save(content, name);
    this.toasts.say(text().remarks.saved(name));
  }

  /**
   * @param {string} what
   * @param {unknown} error
   */
  #refused(what, error) {
    this.toasts.say(text().remarks.refused(what, /** @type {Error} */ (error).message), true);
  }

  /** @param {boolean} busy */
  #photographs(busy) {
    this.photographing = busy;
    this.dispatchEvent(new Event('change'));
  }
}
