/** The video element: autoplays muted, asks for a tap where even that is blocked, and detects the first frame and stalls. */

/** Without a new frame for this long the video has stalled; cameras in the dark go down to about 5 frames a second. */
const STALL_MS = 4_000;

/** Events: `change` when `autoplayBlocked` or `muted` changed, `firstframe` when the first frame of a stream was displayed. */
export class Player extends EventTarget {
  /** Whether the browser requires a tap before it plays. */
  autoplayBlocked = false;
  /** When the first frame of this stream was displayed, in `performance.now()` time. @type {number | null} */
  firstFrameAt = null;
  #attachedAt = 0;
  #lastFrame = 0;
  #lastFrameAt = 0;

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    super();
    this.video = video;
    video.addEventListener('volumechange', () => this.dispatchEvent(new Event('change')));
    // Phones pause videos on their own (a call, another tab); resume when the page is visible again.
    video.addEventListener('pause', () => this.play());
    document.addEventListener('visibilitychange', () => this.resume());
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

  /** Removes the stream. */
  detach() {
    this.video.srcObject = null;
    this.firstFrameAt = null;
    this.#setAutoplayBlocked(false);
  }

  /** Plays if there is a stream and the browser allows it. */
  async play() {
    const stream = this.video.srcObject;
    if (!stream || document.visibilityState === 'hidden') return;
    try {
      await this.video.play();
      this.#setAutoplayBlocked(false);
    } catch (error) {
      // An AbortError only means that another stream has replaced this one.
      if (stream === this.video.srcObject && /** @type {Error} */ (error).name === 'NotAllowedError') this.#setAutoplayBlocked(true);
    }
  }

  /** Plays on after a time in which no frames were sent, as for a hidden page. */
  resume() {
    this.#lastFrameAt = performance.now();
    this.play();
  }

  /** To be called from a tap or key handler: browsers allow audio only then. */
  toggleMute() {
    this.video.muted = !this.video.muted;
    this.play();
  }

  /**
   * To be called periodically.
   * @param {number} framesDecoded From the browser's statistics.
   * @returns {Date | null} When the last frame arrived if the video has stalled, otherwise null.
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
