/** The video element: plays at once and muted, asks for a tap where even that is refused, and tells of first and standing pictures. */

/** After this long without a new picture it counts as standing; cameras in the dark go down to some 5 frames a second. */
const STALL_MS = 4_000;

/** Events: `change` when `autoplayBlocked` or `muted` changed, `firstframe` when the first picture of a stream is on the screen. */
export class Player extends EventTarget {
  /** Whether the browser wants a tap before it plays. */
  autoplayBlocked = false;
  /** When the first picture of this stream was shown, in `performance.now()` time. @type {number | null} */
  firstFrameAt = null;
  #attachedAt = 0;
  #lastFrame = 0;
  #lastFrameAt = 0;

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    super();
    this.video = video;
    video.addEventListener('volumechange', () => this.dispatchEvent(new Event('change')));
    // Phones pause a video by themselves (a call, another tab); it goes on when the page is looked at again.
    video.addEventListener('pause', () => this.play());
    document.addEventListener('visibilitychange', () => this.play());
  }

  get muted() {
    return this.video.muted;
  }

  /** @param {MediaStream} stream */
  attach(stream) {
    if (this.video.srcObject === stream) return;
    this.video.srcObject = stream;
    this.firstFrameAt = null;
    this.#lastFrame = 0;
    this.#attachedAt = this.#lastFrameAt = performance.now();
    this.#awaitFirstFrame(stream);
    this.play();
  }

  /** Captures the picture away. */
  detach() {
    this.video.srcObject = null;
    this.firstFrameAt = null;
    this.#setAutoplayBlocked(false);
  }

  /** Plays, if there is something to play and the browser lets it. */
  async play() {
    const stream = this.video.srcObject;
    if (!stream || document.visibilityState === 'hidden') return;
    try {
      await this.video.play();
      this.#setAutoplayBlocked(false);
    } catch (error) {
      // An AbortError only says that another stream has taken this one's place.
      if (stream === this.video.srcObject && /** @type {Error} */ (error).name === 'NotAllowedError') this.#setAutoplayBlocked(true);
    }
  }

  /** To be called in the course of a tap or a key: browsers allow sound only then. */
  toggleMute() {
    this.video.muted = !this.video.muted;
    this.play();
  }

  /**
   * To be called now and then.
   * @param {number} framesDecoded By the browser's statistics.
   * @returns {Date | null} Since when no new picture has come; null while they come.
   */
  stalledSince(framesDecoded) {
    const now = performance.now();
    if (framesDecoded !== this.#lastFrame) {
      this.#lastFrame = framesDecoded;
      this.#lastFrameAt = now;
    }
    const stalledFor = now - Math.max(this.#lastFrameAt, this.#attachedAt);
    return stalledFor > STALL_MS ? new Date(Date.now() - stalledFor) : null;
  }

  /** @param {MediaStream} stream */
  #awaitFirstFrame(stream) {
    const arrived = (/** @type {number} */ at) => {
      if (this.firstFrameAt !== null || this.video.srcObject !== stream) return;
      this.firstFrameAt = at;
      this.dispatchEvent(new Event('firstframe'));
    };
    if (this.video.requestVideoFrameCallback) {
      this.video.requestVideoFrameCallback((_, frame) => arrived(frame.presentationTime));
    } else {
      this.video.addEventListener('loadeddata', () => arrived(performance.now()), { once: true });
    }
  }

  /** @param {boolean} autoplayBlocked */
  #setAutoplayBlocked(autoplayBlocked) {
    if (this.autoplayBlocked === autoplayBlocked) return;
    this.autoplayBlocked = autoplayBlocked;
    this.dispatchEvent(new Event('change'));
  }
}
