/** Full screen, picture in picture, and the wake lock that keeps the screen on during playback. */

/** Safari's own method: on iPhone only the video element can go full screen. */
/** @typedef {HTMLVideoElement & {webkitEnterFullscreen?: () => void}} PhoneVideo */

/** Events: `change` when full screen or picture in picture was entered or left. */
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
    // The browser releases the lock whenever the page is hidden.
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
    // Rejected while there is no video yet.
    toggled.catch(() => {});
  }

  /**
   * Whether to keep the screen on.
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
      // Only over HTTPS, and not while the battery is low; otherwise the screen turns off as usual.
      this.#lock = (await navigator.wakeLock?.request('screen')) ?? null;
    } catch {
      this.#lock = null;
    }
    this.#requesting = false;
    if (!this.#awake) this.#updateWakeLock();
  }
}
