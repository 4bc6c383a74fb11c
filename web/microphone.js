/** The user's microphone: opened when it is needed, closed a while after, and how loud it is. */

/** How long it stays open after it was used: whoever answers soon loses no words, and nobody is recorded for longer. */
const LINGER_MS = 10_000;

/** The board's speaker may be heard here, and the other way round. */
const CONSTRAINTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Levels in dB relative to full scale: what is quieter counts as silence, and what is as loud as full. */
const QUIET_DB = -60;
const LOUD_DB = -12;

/** Events: `ended` when it was unplugged, or the permission to use it taken back. */
export class Microphone extends EventTarget {
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {Promise<MediaStreamTrack> | null} */
  #opening = null;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AnalyserNode | null} */
  #analyser = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** Whether this page can have a microphone at all: browsers grant it over HTTPS only. */
  static get supported() {
    return navigator.mediaDevices !== undefined;
  }

  /**
   * Opens it, unless it is open. The browser asks the user the first time, which takes as long as they like.
   * @returns {Promise<MediaStreamTrack>} Rejects with the browser's DOMException.
   */
  open() {
    clearTimeout(this.#timer);
    const track = this.#stream?.getAudioTracks()[0];
    if (track?.readyState === 'live') return Promise.resolve(track);
    this.#opening ??= this.#open().finally(() => (this.#opening = null));
    return this.#opening;
  }

  /** It is not needed at the moment. */
  release() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.close(), LINGER_MS);
  }

  close() {
    clearTimeout(this.#timer);
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#context?.close();
    this.#stream = this.#context = this.#analyser = null;
  }

  /** How loud it is at the moment, from 0 to 1. */
  level() {
    if (!this.#analyser) return 0;
    const samples = new Float32Array(this.#analyser.fftSize);
    this.#analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    const decibels = 10 * Math.log10(power + 1e-12);
    return Math.min(1, Math.max(0, (decibels - QUIET_DB) / (LOUD_DB - QUIET_DB)));
  }

  async #open() {
    this.close();
    const stream = await navigator.mediaDevices.getUserMedia({ audio: CONSTRAINTS });
    const [track] = stream.getAudioTracks();
    track.addEventListener('ended', () => this.dispatchEvent(new Event('ended')));
    this.#stream = stream;
    this.#context = new AudioContext();
    this.#analyser = this.#context.createAnalyser();
    this.#context.createMediaStreamSource(stream).connect(this.#analyser);
    return track;
  }
}
