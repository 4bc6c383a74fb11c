/** What can be done with the recording that is played: back to live, saved, and by operators protected and deleted. */

import { element, show, write } from './elements.js';
import { causeName } from './history-pane.js';
import { t } from './i18n.js';
import { sentence } from './messages.js';
import { shownDay, shownTime } from './playback.js';
import { clock } from './recorder.js';

/** @import { BoardRecordings, Recording } from './board-recordings.js' */
/** @import { Toasts } from './toasts.js' */

export class RecordingActions {
  /** @type {Recording | null} */
  #recording = null;

  /**
   * @param {BoardRecordings} recordings
   * @param {Toasts} toasts
   */
  constructor(recordings, toasts) {
    this.recordings = recordings;
    this.toasts = toasts;
    this.root = element('recording-actions', HTMLElement);
    this.what = element('recording-what', HTMLElement);
    this.note = element('recording-note', HTMLElement);
    this.download = element('recording-download', HTMLAnchorElement);
    this.protect = element('recording-protect', HTMLButtonElement);
    this.remove = element('recording-delete', HTMLButtonElement);
    this.dialog = element('delete-dialog', HTMLDialogElement);
    this.dialogWhat = element('delete-what', HTMLElement);
    this.protect.addEventListener('click', () => this.#protect());
    this.remove.addEventListener('click', () => this.#ask());
    element('delete-cancel', HTMLButtonElement).addEventListener('click', () => this.dialog.close());
    element('delete-confirm', HTMLButtonElement).addEventListener('click', () => this.#delete());
  }

  /**
   * @param {Recording | null} recording
   * @param {boolean} isOperator
   */
  show(recording, isOperator) {
    this.#recording = recording;
    this.root.hidden = !recording;
    if (!recording) {
      this.dialog.close();
      return;
    }
    const texts = t().history;
    write(this.what, description(recording));
    this.download.href = this.recordings.url(recording.file);
    this.protect.hidden = this.remove.hidden = !isOperator;
    this.protect.setAttribute('aria-pressed', String(recording.protected));
    this.remove.disabled = recording.protected || recording.running;
    // A button that can't be used says why.
    show(this.note, !isOperator ? '' : recording.running ? texts.isRunning : recording.protected ? texts.isProtected : '');
  }

  #protect() {
    const recording = this.#recording;
    if (recording) this.#attempt(t().history.protect, () => this.recordings.protect(recording.id, !recording.protected));
  }

  #ask() {
    if (!this.#recording) return;
    write(this.dialogWhat, description(this.#recording));
    this.dialog.showModal();
  }

  #delete() {
    const recording = this.#recording;
    this.dialog.close();
    if (recording) this.#attempt(t().history.remove, () => this.recordings.remove(recording.id));
  }

  /**
   * @param {string} what
   * @param {() => Promise<void>} action
   */
  async #attempt(what, action) {
    try {
      await action();
    } catch (error) {
      this.toasts.show(t().warnings.failed(what, sentence(/** @type {Error} */ (error).message)), true);
    }
  }
}

/** @param {Recording} recording */
function description({ start, length, cause }) {
  const span = length === null ? t().history.running : clock(length * 1000);
  return [`${shownDay(start)}, ${shownTime(start)}`, causeName(cause), span].join(' · ');
}
