/** What the board has recorded: the time line in the panel, and the recording that is played in the place of the live video. */

import { BoardRecordings } from './board-recordings.js';
import { element } from './elements.js';
import { HistoryPane } from './history-pane.js';
import { i18n, t } from './i18n.js';
import { Playback } from './playback.js';
import { RecordingActions } from './recording-actions.js';
import { following, isFilm } from './time-line.js';

/** @import { Role } from './auth.js' */
/** @import { Recording } from './board-recordings.js' */
/** @import { PlayEvent } from './history-pane.js' */
/** @import { CameraRecording, Status } from './status.js' */
/** @import { Toasts } from './toasts.js' */

/** How often bars that grow are drawn anew, in milliseconds: the bar of an hour grows by two pixels meanwhile. */
const REDRAW_MS = 20_000;

/** Whoever has seen the running recording up to so many seconds ago is shown the live video. */
const LIVE_S = 15;

/** Events: `change` when a recording is played or none any more; `unauthorized` when nobody is signed in. */
export class BoardHistory extends EventTarget {
  button = element('history', HTMLButtonElement);
  pane = { button: this.button, root: element('history-pane', HTMLElement), title: 'buttons.history.text' };
  #recordings = new BoardRecordings(new URL(document.baseURI));
  #playback = new Playback((path) => this.#recordings.url(path));
  #view = new HistoryPane(this.#recordings);
  #list = element('playback-list', HTMLButtonElement);
  #isOpen = false;
  #isOperator = false;
  /** @type {string | null} */
  #camera = null;
  /** How much there was of the recording when it was played. */
  #bytes = 0;
  /** The recording of the camera that was running, as the status had it. @type {number | null | undefined} */
  #running;
  /** When it starts, as the status had it. @type {number | null} */
  #since = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /**
   * @param {Toasts} toasts
   * @param {() => boolean} isMuted Whether the user wants no sound.
   */
  constructor(toasts, isMuted) {
    super();
    this.toasts = toasts;
    this.isMuted = isMuted;
    this.actions = new RecordingActions(this.#recordings, toasts);
    for (const id of ['playback-live', 'history-live']) element(id, HTMLButtonElement).addEventListener('click', () => this.close());
    this.#recordings.addEventListener('change', () => this.#onChange());
    this.#recordings.addEventListener('unauthorized', () => this.dispatchEvent(new Event('unauthorized')));
    this.#view.addEventListener('play', (event) => {
      const { recording, offset } = /** @type {PlayEvent} */ (event);
      this.#play(recording, offset);
    });
    const playback = this.#playback;
    playback.addEventListener('change', () => {
      this.#render();
      this.dispatchEvent(new Event('change'));
    });
    playback.addEventListener('time', () => this.#view.mark(playback.time));
    playback.addEventListener('ended', () => this.#goOn());
    playback.addEventListener('failure', () => {
      this.toasts.show(t().history.unplayable, true);
      this.close();
      this.#recordings.refresh();
    });
    i18n.addEventListener('change', () => this.#render());
  }

  /** Whether a recording is played, and the live video is not seen. */
  get active() {
    return this.#playback.recording !== null;
  }

  /**
   * Follows what the board tells of itself.
   * @param {object} situation
   * @param {Status | null} situation.status
   * @param {string | null} situation.camera
   * @param {Role | null} situation.role Null if it is not known.
   */
  show({ status, camera, role }) {
    // The board may be away for a moment.
    if (!status || camera === null) return;
    const { recording } = status;
    const allowed = recording && (role === 'operator' || (role !== null && role === recording.allow));
    this.button.hidden = !allowed;
    if (!allowed) return;
    const current = recording.cameras.find((one) => one.camera === camera);
    this.button.classList.toggle('marked', current?.recording === true);
    this.button.setAttribute('aria-label', current?.recording ? t().buttons.history.recording : t().buttons.history.text);
    const isOperator = role === 'operator';
    const isOther = camera !== this.#camera || isOperator !== this.#isOperator;
    this.#camera = camera;
    this.#isOperator = isOperator;
    this.#follow(current);
    if (isOther) this.#render();
  }

  /**
   * Reads the list anew when a recording begins or ends, or is told otherwise.
   * @param {CameraRecording | undefined} current
   */
  #follow(current) {
    const running = current?.id ?? null;
    const since = current?.since ?? null;
    // The same one starts at another time when the board's clock was set.
    const isSame = this.#running === running && this.#since === since;
    this.#running = running;
    this.#since = since;
    if (this.#isOpen && this.#camera !== null) this.#recordings.select(this.#camera);
    if (!isSame && this.#recordings.loaded) this.#recordings.refresh();
  }

  /**
   * The pane has been opened or closed.
   * @param {boolean} isOpen
   */
  open(isOpen) {
    this.#list.hidden = isOpen;
    if (this.#isOpen === isOpen) return;
    this.#isOpen = isOpen;
    clearInterval(this.#timer);
    if (!isOpen) {
      if (this.active) this.#list.focus();
      return;
    }
    if (this.#recordings.loaded) this.#recordings.refresh();
    if (this.#camera !== null) this.#recordings.select(this.#camera);
    this.#timer = setInterval(() => this.#running != null && !document.hidden && this.#render(), REDRAW_MS);
    this.#render();
  }

  /** Goes back to the live video. */
  close() {
    if (!this.active) return;
    const { root } = this.#playback;
    const hadFocus = root.contains(document.activeElement) || this.actions.root.contains(document.activeElement);
    this.#playback.close();
    if (hadFocus) (this.#isOpen ? element('panel-title', HTMLElement) : this.button).focus();
  }

  /** Forgets everything: nobody is signed in any more. */
  reset() {
    this.close();
    this.button.hidden = true;
    this.#camera = null;
    this.#running = undefined;
    this.#recordings.clear();
  }

  /**
   * @param {Recording} recording
   * @param {number} offset
   */
  async #play(recording, offset) {
    // Of the running one, as much as there is by now.
    if (recording.running) await this.#recordings.refresh();
    const known = this.#recordings.find(recording.id) ?? recording;
    this.#bytes = known.bytes;
    this.#playback.play(known, offset, this.isMuted());
  }

  /** At the end of a recording, what follows it at once is played. */
  async #goOn() {
    const { recording, time } = this.#playback;
    if (!recording || time === null || isFilm(recording)) return;
    const wasRunning = recording.running;
    if (wasRunning && Date.now() / 1000 - time < LIVE_S) {
      this.close();
      return;
    }
    await this.#recordings.refresh();
    // The user may have gone on meanwhile.
    if (this.#playback.recording?.id !== recording.id) return;
    const known = this.#recordings.find(recording.id) ?? recording;
    const next = following(this.#recordings.list, known);
    if (wasRunning && known.bytes > this.#bytes) this.#play(known, time - known.start);
    else if (next) this.#play(next, 0);
  }

  #onChange() {
    const { recording } = this.#playback;
    const known = recording && this.#recordings.find(recording.id);
    if (known) this.#playback.update(known);
    // It was deleted.
    else if (recording && this.#recordings.loaded) this.close();
    this.#render();
  }

  #render() {
    const { recording } = this.#playback;
    this.actions.show(recording, this.#isOperator);
    if (!this.#isOpen) return;
    this.#view.show(recording?.id ?? null);
    this.#view.mark(this.#playback.time);
  }
}
