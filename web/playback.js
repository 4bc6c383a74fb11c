/** Plays a recording in the place of the live video, by the browser's own player, with the time at which it was captured. */

import { element, write } from './elements.js';
import { i18n, locale, t } from './i18n.js';
import { isFilm } from './time-line.js';

/** @import { Recording } from './board-recordings.js' */

/** Events: `change` when another recording is played, or none; `time`; `ended` at its end; `failure` if it cannot be played. */
export class Playback extends EventTarget {
  /** The recording that is played. @type {Recording | null} */
  recording = null;
  /** Where it begins to play, until the browser knows the recording. @type {number | null} */
  #from = null;

  /** @param {(path: string) => string} url The address of a recording's file or picture. */
  constructor(url) {
    super();
    this.url = url;
    this.root = element('playback', HTMLElement);
    this.video = element('recorded', HTMLVideoElement);
    this.clock = element('playback-time', HTMLTimeElement);
    const { video } = this;
    video.addEventListener('loadedmetadata', () => {
      if (this.#from) video.currentTime = this.#from;
      this.#from = null;
    });
    for (const kind of ['timeupdate', 'seeking']) video.addEventListener(kind, () => this.#showTime());
    video.addEventListener('ended', () => this.#tell('ended'));
    video.addEventListener('error', () => this.#tell('failure'));
    i18n.addEventListener('change', () => this.#showTime());
  }

  /** The time that is shown, in seconds since the Unix epoch; null if nothing is. Of a film it is its beginning. */
  get time() {
    const { recording } = this;
    if (!recording || isFilm(recording)) return recording && recording.start;
    return recording.start + (this.#from ?? this.video.currentTime);
  }

  /**
   * Plays a recording. To be called from a tap or key handler: browsers allow sound only then.
   * @param {Recording} recording
   * @param {number} offset Where to begin, in seconds after its beginning.
   * @param {boolean} muted
   */
  play(recording, offset, muted) {
    const { video } = this;
    this.recording = recording;
    this.#from = offset;
    video.poster = this.url(recording.picture);
    video.src = this.url(recording.file);
    video.muted = muted;
    this.root.hidden = false;
    document.body.classList.add('playing-back');
    this.#showTime();
    // Where the browser wants another tap, its own button asks for it.
    video.play().catch(() => {});
    this.dispatchEvent(new Event('change'));
  }

  /**
   * What is known of the recording has changed.
   * @param {Recording} recording
   */
  update(recording) {
    this.recording = recording;
  }

  /** Ends playing, and fetches nothing any more. */
  close() {
    if (!this.recording) return;
    this.recording = this.#from = null;
    this.video.pause();
    this.video.removeAttribute('src');
    this.video.removeAttribute('poster');
    this.video.load();
    this.root.hidden = true;
    document.body.classList.remove('playing-back');
    this.dispatchEvent(new Event('change'));
  }

  /** @param {'ended' | 'failure'} kind */
  #tell(kind) {
    if (this.recording) this.dispatchEvent(new Event(kind));
  }

  #showTime() {
    const { recording, time } = this;
    if (!recording || time === null) return;
    const date = new Date(time * 1000);
    this.clock.dateTime = date.toISOString();
    write(this.clock, `${shownDay(time)}, ${isFilm(recording) ? t().history.causes.timelapse : shownTime(time)}`);
    this.video.setAttribute('aria-label', t().history.playing(shownTime(recording.start)));
    this.dispatchEvent(new Event('time'));
  }
}

/**
 * A time of day with seconds.
 * @param {number} time Seconds since the Unix epoch.
 */
export function shownTime(time) {
  return new Date(time * 1000).toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit', second: '2-digit' });
}

/**
 * A day, with the year unless it is this one.
 * @param {number} time Seconds since the Unix epoch.
 */
export function shownDay(time) {
  const date = new Date(time * 1000);
  const year = date.getFullYear() === new Date().getFullYear() ? undefined : 'numeric';
  return date.toLocaleDateString(locale(), { weekday: 'short', day: 'numeric', month: 'short', year });
}
