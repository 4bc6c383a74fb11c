/** Photos at full resolution, taken by the board, and recordings, made in this browser. */

import { download, fileName } from './download.js';
import { t } from './i18n.js';
import { Recorder } from './recorder.js';

/** @import { DoneEvent } from './recorder.js' */
/** @import { Toasts } from './toasts.js' */
/** @import { BoardClient } from './board-client.js' */

/** Events: `change` when a photo or a recording started, progressed or ended. */
export class Captures extends EventTarget {
  recorder = new Recorder();
  takingSnapshot = false;

  /**
   * @param {BoardClient} client
   * @param {Toasts} toasts
   * @param {() => string} camera The name of the current camera.
   */
  constructor(client, toasts, camera) {
    super();
    this.client = client;
    this.toasts = toasts;
    this.camera = camera;
    this.recorder.addEventListener('change', () => this.dispatchEvent(new Event('change')));
    this.recorder.addEventListener('done', (event) => {
      const { blob, startedAt, extension } = /** @type {DoneEvent} */ (event);
      this.#download(blob, startedAt, extension);
    });
  }

  async takeSnapshot() {
    const { control } = this.client;
    if (this.takingSnapshot || !control?.open) return;
    this.#setBusy(true);
    try {
      const { blob } = await control.snapshot();
      this.#download(blob, new Date(), 'jpg');
    } catch (error) {
      this.#showError(t().buttons.photo.text, error);
    }
    this.#setBusy(false);
  }

  /** @param {MediaStream | null} stream What to record; null if there is nothing. */
  toggleRecording(stream) {
    if (this.recorder.running) {
      this.recorder.stop();
    } else if (stream) {
      try {
        this.recorder.start(stream);
      } catch (error) {
        this.#showError(t().buttons.record.text, error);
      }
    }
  }

  /**
   * @param {Blob} content
   * @param {Date} when
   * @param {string} extension
   */
  #download(content, when, extension) {
    const name = fileName(this.camera(), when, extension);
    download(content, name);
    this.toasts.show(t().warnings.saved(name));
  }

  /**
   * @param {string} what
   * @param {unknown} error
   */
  #showError(what, error) {
    this.toasts.show(t().warnings.failed(what, /** @type {Error} */ (error).message), true);
  }

  /** @param {boolean} busy */
  #setBusy(busy) {
    this.takingSnapshot = busy;
    this.dispatchEvent(new Event('change'));
  }
}
