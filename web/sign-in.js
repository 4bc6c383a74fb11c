/** The sign-in form: password in, the reason of a failure and the wait for the next attempt out. */

import { language, text } from './i18n.js';
import { sentence } from './messages.js';

/** @import { Access, SignInFailure } from './auth.js' */

/** The form of index.html, from its making on. */
export class SignInForm {
  /** When the next attempt is allowed, in `performance.now()` time. */
  #due = 0;
  #reason = '';
  #busy = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLFormElement} form
   * @param {Access} access
   */
  constructor(form, access) {
    this.form = form;
    this.access = access;
    const [password, enter, shown] = ['password', 'enter', 'shown'].map((name) => form.elements.namedItem(name));
    this.password = /** @type {HTMLInputElement} */ (password);
    this.submit = /** @type {HTMLButtonElement} */ (enter);
    this.shown = /** @type {HTMLInputElement} */ (shown);
    this.told = /** @type {HTMLElement} */ (form.querySelector('[role=alert]'));
    this.shown.addEventListener('change', () => (this.password.type = this.shown.checked ? 'text' : 'password'));
    language.addEventListener('change', () => this.#render());
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send({ password: this.password.value });
    });
    this.#render();
  }

  /**
   * Shows or hides the form; it takes the focus when it appears.
   * @param {boolean} visible
   */
  show(visible) {
    if (this.form.hidden === !visible) return;
    this.form.hidden = !visible;
    // A password manager saves what was typed when the field goes away; nothing else of it may stay.
    if (visible) this.password.focus();
    else this.form.reset();
    this.password.type = 'password';
    this.#tell('', 0);
  }

  /**
   * Shows the form with the reason why nobody is signed in.
   * @param {SignInFailure} failure
   */
  tell({ reason, retryAfter }) {
    this.show(true);
    this.#tell(reason, retryAfter);
    this.password.select();
  }

  /** @param {{password: string}} secret */
  async #send(secret) {
    if (this.#busy || performance.now() < this.#due) return;
    this.#busy = true;
    this.#render();
    const failure = await this.access.signIn(secret);
    this.#busy = false;
    if (failure) this.tell(failure);
  }

  /**
   * @param {string} reason
   * @param {number} wait In milliseconds.
   */
  #tell(reason, wait) {
    this.#reason = reason;
    this.#due = performance.now() + wait;
    this.#render();
  }

  #render() {
    clearTimeout(this.#timer);
    const seconds = Math.ceil((this.#due - performance.now()) / 1000);
    const waits = seconds > 0;
    this.submit.disabled = this.#busy || waits;
    this.submit.textContent = waits ? text().page.wait(seconds) : text().page.enter;
    const reason = sentence(this.#reason);
    if (this.told.textContent !== reason) this.told.textContent = reason;
    this.password.setAttribute('aria-invalid', String(reason !== ''));
    if (waits) this.#timer = setTimeout(() => this.#render(), 250);
  }
}
