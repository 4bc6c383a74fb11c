/**
 * The button that shows the user's camera to the board while they talk, and the small picture in which they see themselves. The
 * camera is opened at the first press and closed at the next one. Nothing of it is stored.
 */

import { element } from './elements.js';
import { t } from './i18n.js';
import { sentence } from './messages.js';

/** @import { Talker } from './talker.js' */
/** @import { Toasts } from './toasts.js' */

/** A face at a small screen, which every phone can encode. */
const CONSTRAINTS = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30, max: 30 }, facingMode: 'user' };

/** Why there is no picture, by the name of the browser's exception. @type {Record<string, 'denied' | 'none'>} */
const FAILURES = { NotAllowedError: 'denied', SecurityError: 'denied', NotFoundError: 'none', OverconstrainedError: 'none' };

export class CameraButton {
  /** The camera, once the user has turned it on. @type {MediaStreamTrack | null} */
  #track = null;
  /** What the picture is sent with at the moment. @type {RTCRtpSender | null} */
  #sender = null;
  /** Whether the user wants to be seen; the camera may not be open yet. */
  #isOn = false;
  /** Counts presses: a camera that opens after another one is of no use. */
  #turn = 0;

  /**
   * @param {Talker} talker
   * @param {Toasts} toasts
   */
  constructor(talker, toasts) {
    this.button = element('show-camera', HTMLButtonElement);
    this.view = element('self-view', HTMLVideoElement);
    this.talker = talker;
    this.toasts = toasts;
    this.button.addEventListener('click', () => (this.#isOn ? this.close() : this.#open()));
    talker.addEventListener('change', () => this.#send());
  }

  /** @param {boolean} canShow Whether the board would show the picture. */
  show(canShow) {
    const visible = canShow && this.talker.connection.session?.cameraSender != null;
    if (!visible && this.#isOn) this.close();
    this.button.hidden = !visible;
    document.body.classList.toggle('can-show', visible);
    this.#render();
  }

  /** Turns the camera off. */
  close() {
    this.#turn++;
    this.#isOn = false;
    this.#track?.stop();
    this.#track = null;
    this.#send();
    this.#render();
  }

  async #open() {
    const turn = ++this.#turn;
    this.#isOn = true;
    this.#render();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: CONSTRAINTS });
      const [track] = stream.getVideoTracks();
      if (turn !== this.#turn) {
        track.stop();
        return;
      }
      // Unplugged, or the permission was taken back.
      track.addEventListener('ended', () => this.#fail(track));
      this.#track = track;
      this.view.srcObject = stream;
      this.#send();
      this.#render();
    } catch (error) {
      if (turn !== this.#turn) return;
      const { name, message } = /** @type {Error} */ (error);
      const texts = t().talk.camera;
      this.toasts.show(FAILURES[name] ? texts[FAILURES[name]] : texts.failed(sentence(message)), true);
      this.close();
    }
  }

  /** @param {MediaStreamTrack} track */
  #fail(track) {
    if (track !== this.#track) return;
    this.toasts.show(t().talk.camera.gone, true);
    this.close();
  }

  /** Sends the picture while the user talks, and nothing otherwise. */
  #send() {
    const wanted = this.#track !== null && this.talker.state === 'talking';
    const sender = wanted ? this.talker.connection.session?.cameraSender ?? null : null;
    if (sender === this.#sender) return;
    // Both fail if the session is over, and with it the sender.
    this.#sender?.replaceTrack(null).catch(() => {});
    this.#sender = sender;
    sender?.replaceTrack(this.#track).catch(() => {});
  }

  #render() {
    this.button.setAttribute('aria-pressed', String(this.#isOn));
    this.view.hidden = this.#track === null;
    if (this.#track === null) this.view.srcObject = null;
  }
}
