/**
 * The button to talk: hold it, or tap it and go on talking until the next tap. The space bar does the same. Where the page can't
 * have a microphone the button explains why.
 */

import { CameraButton } from './camera-button.js';
import { element, label, show } from './elements.js';
import { t } from './i18n.js';
import { isolate, sentence } from './messages.js';
import { Microphone } from './microphone.js';

/** @import { Role } from './auth.js' */
/** @import { Status } from './status.js' */
/** @import { Talker, TalkFailureEvent } from './talker.js' */
/** @import { Toasts } from './toasts.js' */

/** A press that is shorter is a tap. */
const TAP_MS = 300;

/** What an operator puts into [http]; docs/access.md explains it. */
const TLS_LINE = 'tls = "self-signed"';

/** Elements that use the space bar themselves. */
const USES_SPACE = 'a, button, input, select, summary, textarea';

export class TalkButton {
  /** What holds the button down: a pointer's number, or a key; null if nothing does. @type {number | string | null} */
  #heldBy = null;
  #heldSince = 0;
  /** Whether talking goes on without holding. */
  #latched = false;
  #isOperator = false;

  /**
   * @param {HTMLButtonElement} button
   * @param {Talker} talker
   * @param {Toasts} toasts
   */
  constructor(button, talker, toasts) {
    this.button = button;
    this.talker = talker;
    this.toasts = toasts;
    this.camera = new CameraButton(talker, toasts);
    this.help = element('talk-help', HTMLDialogElement);
    element('talk-help-close', HTMLButtonElement).addEventListener('click', () => this.help.close());

    button.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      this.#press(event.pointerId, event.timeStamp);
    });
    button.addEventListener('pointerup', (event) => this.#release(event.pointerId, event.timeStamp));
    button.addEventListener('pointercancel', (event) => this.#release(event.pointerId));
    button.addEventListener('click', (event) => this.#onClick(event));
    // A long touch holds the button; it asks for nothing else.
    button.addEventListener('contextmenu', (event) => event.preventDefault());
    document.addEventListener('keydown', (event) => this.#onKeyDown(event));
    document.addEventListener('keyup', (event) => event.key === ' ' && this.#release(event.key, event.timeStamp) && event.preventDefault());
    // Whoever goes elsewhere no longer holds anything, and no key is heard.
    addEventListener('blur', () => this.#heldBy !== null && this.#release(this.#heldBy));

    talker.addEventListener('change', () => this.#onTalkerChange());
    talker.addEventListener('ready', () => toasts.show(t().talk.ready));
    talker.addEventListener('failure', (event) => toasts.show(failureText(/** @type {TalkFailureEvent} */ (event)), true));
  }

  /**
   * @param {object} situation
   * @param {boolean} situation.connected
   * @param {Status | null} situation.status
   * @param {Role | null} situation.role Null if it is not known.
   */
  show({ connected, status, role }) {
    const speaker = status?.speaker;
    const canHear = speaker !== undefined && speaker.state !== 'off' && !status?.privacy;
    const allowed = role === 'operator' || (role !== null && role === speaker?.allow);
    const visible = connected && canHear && allowed && (this.talker.possible || !Microphone.supported);
    this.#isOperator = role === 'operator';
    if (!visible) this.talker.stop();
    this.button.hidden = !visible;
    document.body.classList.toggle('can-talk', visible);
    this.camera.show(visible && status?.screen != null);
    this.#render();
  }

  #render() {
    const { state } = this.talker;
    const texts = t().talk;
    const text = state === 'starting' ? texts.starting : state === 'idle' ? texts.idle : this.#latched ? texts.latched : texts.held;
    label(this.button, 'talk', text);
    this.button.setAttribute('aria-pressed', String(state === 'talking'));
  }

  #onTalkerChange() {
    if (this.talker.state === 'idle') this.#latched = false;
    if (this.talker.state === 'talking') this.#showLevel();
    this.#render();
  }

  /** Follows the level until nobody talks. */
  #showLevel() {
    const isTalking = this.talker.state === 'talking';
    this.button.style.setProperty('--level', isTalking ? this.talker.level.toFixed(2) : '0');
    if (isTalking) requestAnimationFrame(() => this.#showLevel());
  }

  /**
   * @param {number | string} by
   * @param {number} at The event's time: a page that is busy learns of it late.
   */
  #press(by, at) {
    if (!Microphone.supported || this.#heldBy !== null) return;
    this.#heldBy = by;
    this.#heldSince = at;
    // Ends with the release, as it would if the button had been held.
    if (this.#latched) this.#heldSince = -Infinity;
    else this.talker.start();
  }

  /**
   * @param {number | string} by
   * @param {number} [at] The event's time; infinite if the button was taken away from the user.
   * @returns {boolean} Whether the button was held by this.
   */
  #release(by, at = Infinity) {
    if (this.#heldBy === null || this.#heldBy !== by) return false;
    this.#heldBy = null;
    const isTap = at - this.#heldSince < TAP_MS;
    if (isTap && this.talker.state !== 'idle') {
      this.#latched = true;
      this.#render();
    } else {
      this.talker.stop();
    }
    return true;
  }

  /** @param {MouseEvent} event */
  #onClick({ detail }) {
    if (!Microphone.supported) {
      this.#explain();
    } else if (detail === 0) {
      // The Enter key, or an assistive technology: neither can hold.
      if (this.talker.state !== 'idle') {
        this.talker.stop();
        return;
      }
      this.talker.start();
      this.#latched = true;
    }
  }

  /** @param {KeyboardEvent} event */
  #onKeyDown(event) {
    if (event.key !== ' ' || event.ctrlKey || event.metaKey || event.altKey || this.button.hidden) return;
    const { target } = event;
    if (target !== this.button && target instanceof Element && target.matches(USES_SPACE)) return;
    event.preventDefault();
    if (event.repeat) return;
    if (Microphone.supported) this.#press(event.key, event.timeStamp);
    else this.#explain();
  }

  /** Why there is no microphone, and for operators what to do about it. */
  #explain() {
    const { text, operator, viewer } = t().talk.help;
    const parts = { text, advice: this.#isOperator ? operator : viewer, line: this.#isOperator ? TLS_LINE : '' };
    for (const [name, content] of Object.entries(parts)) show(element(`talk-help-${name}`, HTMLElement), content);
    if (!this.help.open) this.help.showModal();
  }
}

/** @param {TalkFailureEvent} event */
function failureText({ failure, detail }) {
  const texts = t().talk;
  switch (failure) {
    case 'taken':
      return texts.taken(isolate(detail) || t().people.unnamed);
    case 'microphone':
      return detail ? texts.microphone(sentence(detail)) : texts.noMore;
    case 'refused':
      return texts.refused(sentence(detail));
    default:
      return texts[failure];
  }
}
