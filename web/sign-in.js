/** The sign-in form: takes the password, shows why it was rejected and how long to wait before the next attempt. */

import { i18n, t } from './i18n.js';
import { sentence } from './messages.js';

/** @import { Auth, SignInFailure } from './auth.js' */

/** The form in index.html. */
export class SignInForm {
  /** When the next attempt is allowed, in `performance.now()` time. */
  #due = 0;
  #reason = '';
  #busy = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLFormElement} form
   * @param {Auth} auth
   */
  constructor(form, auth) {
    this.form = form;
    this.auth = auth;
    const [password, enter, showPassword] = ['password', 'enter', 'showPassword'].map((name) => form.elements.namedItem(name));
    this.password = /** @type {HTMLInputElement} */ (password);
    this.submit = /** @type {HTMLButtonElement} */ (enter);
    this.showPassword = /** @type {HTMLInputElement} */ (showPassword);
    this.error = /** @type {HTMLElement} */ (form.querySelector('[role=alert]'));
    this.showPassword.addEventListener('change', () => (this.password.type = this.showPassword.checked ? 'text' : 'password'));
    i18n.addEventListener('change', () => this.#render());
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send({ password: this.password.value });
    });
    this.#render();
  }

  /**
   * Shows or hides the form, and focuses it when it appears.
   * @param {boolean} visible
   */
  show(visible) {
    if (this.form.hidden === !visible) return;
    this.form.hidden = !visible;
    // Password managers save what was typed when the field disappears; nothing else of it may stay.
    if (visible) this.password.focus();
    else this.form.reset();
    this.password.type = 'password';
    this.#setError('', 0);
  }

  /**
   * Shows the form with the reason why signing in failed.
   * @param {SignInFailure} failure
   */
  fail({ reason, retryAfter }) {
    this.show(true);
    this.#setError(reason, retryAfter);
    this.password.select();
  }

  /** @param {{password: string}} secret */
  async #send(secret) {
    if (this.#busy || performance.now() < this.#due) return;
    this.#busy = true;
    this.#render();
    const failure = await this.auth.signIn(secret);
    this.#busy = false;
    if (failure) this.fail(failure);
  }

  /**
   * @param {string} reason
   * @param {number} wait In milliseconds.
   */
  #setError(reason, wait) {
    this.#reason = reason;
    this.#due = performance.now() + wait;
    this.#render();
  }

  #render() {
    clearTimeout(this.#timer);
    const seconds = Math.ceil((this.#due - performance.now()) / 1000);
    const waiting = seconds > 0;
    this.submit.disabled = this.#busy || waiting;
    this.submit.textContent = waiting ? t().page.wait(seconds) : t().page.submit;
    const reason = sentence(this.#reason);
    if (this.error.textContent !== reason) this.error.textContent = reason;
    this.password.setAttribute('aria-invalid', String(reason !== ''));
    if (waiting) this.#timer = setTimeout(() => this.#render(), 250);
  }
}
