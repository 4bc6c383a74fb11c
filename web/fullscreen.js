/** What the device's screen does for the picture: all of it, a window of its own, and no sleep while there is one to be seen. */

/** Safari's own calls: on the iPhone only the video itself can fill the screen. */
/** @typedef {HTMLVideoElement & {webkitEnterFullscreen?: () => void}} PhoneVideo */

/** Events: `change` when the screen is full or no more so, or the window opened or closed. */
export class Display extends EventTarget {
  /** @type {WakeLockSentinel | null} */
  #lock = null;
  #awake = false;
  #requesting = false;

  /** @param {PhoneVideo} video */
  constructor(video) {
    super();
    this.video = video;
    document.addEventListener('fullscreenchange', () => this.dispatchEvent(new Event('change')));
    for (const kind of ['enterpictureinpicture', 'leavepictureinpicture']) {
      video.addEventListener(kind, () => this.dispatchEvent(new Event('change')));
    }
    // The browser takes the lock back whenever the page is out of sight.
    document.addEventListener('visibilitychange', () => this.#updateWakeLock());
  }

  get canFullscreen() {
    return document.fullscreenEnabled || this.video.webkitEnterFullscreen !== undefined;
  }

  get isFullscreen() {
    return document.fullscreenElement !== null;
  }

  toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (document.fullscreenEnabled) document.documentElement.requestFullscreen().catch(() => {});
    else this.video.webkitEnterFullscreen?.();
  }

  get canPictureInPicture() {
    return document.pictureInPictureEnabled === true;
  }

  get inPictureInPicture() {
    return document.pictureInPictureElement === this.video;
  }

  togglePictureInPicture() {
    const toggled = this.inPictureInPicture ? document.exitPictureInPicture() : this.video.requestPictureInPicture();
    // Refused while there is no picture yet: then there is nothing to show.
    toggled.catch(() => {});
  }

  /**
   * Whether the screen shall stay lit, as it does for any film.
   * @param {boolean} awake
   */
  keepAwake(awake) {
    if (this.#awake === awake) return;
    this.#awake = awake;
    this.#updateWakeLock();
  }

  async #updateWakeLock() {
    if (!this.#awake) {
      this.#lock?.release();
      this.#lock = null;
      return;
    }
    if (document.visibilityState !== 'visible' || this.#requesting || this.#lock?.released === false) return;
    this.#requesting = true;
    try {
      // Only on encrypted pages, and not while the battery is low; then the screen goes dark as it always does.
      this.#lock = (await navigator.wakeLock?.request('screen')) ?? null;
    } catch {
      this.#lock = null;
    }
    this.#requesting = false;
    if (!this.#awake) this.#updateWakeLock();
  }
}
