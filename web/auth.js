/**
 * Who is signed in at this board, asked and changed at `api/session`. The form in which a person types a password does not
 * belong here, and no password and no link is kept.
 */

import { problemDetail, retryAfter } from './signalling.js';

/** What a link that signs in carries in its fragment, which browsers send to no server. */
const SIGN_IN_FRAGMENT = /^#sign-in=(.+)$/;

/**
 * @typedef {'viewer' | 'operator'} Role
 *
 * @typedef {object} SignInFailure
 * @property {string} reason In the board's words, or ours; lower case, without a full stop.
 * @property {number} retryAfter For how many milliseconds another attempt is refused, 0 where it is not.
 */

/** Event: `change` when `role`, `enabled` or `signInRequired` changed. */
export class Auth extends EventTarget {
  /** Who is signed in; null for nobody, and before the first answer. @type {Role | null} */
  role = null;
  /** Whether this board has people sign in. */
  enabled = false;
  /** Whether nothing is answered until somebody signs in. */
  signInRequired = false;

  /** @param {URL} url */
  constructor(url) {
    super();
    this.url = url;
  }

  /** Asks who is signed in. A board that does not answer changes nothing: it is not to be reached either for anything else. */
  async refresh() {
    try {
      const response = await fetch(this.url, { cache: 'no-store' });
      if (response.ok) this.#update(await response.json());
    } catch {
      // The connection tells it in its own words.
    }
  }

  /** A request was answered with 401. */
  signedOut() {
    this.#update({ role: null, mode: 'password' });
  }

  /**
   * @param {{password: string} | {link: string}} secret
   * @returns {Promise<SignInFailure | null>} Null: signed in.
   */
  async signIn(secret) {
    let response;
    let text;
    try {
      const headers = { 'Content-Type': 'application/json' };
      response = await fetch(this.url, { method: 'POST', headers, body: JSON.stringify(secret) });
      text = await response.text();
    } catch {
      return { reason: 'the board does not answer', retryAfter: 0 };
    }
    if (response.ok) {
      this.#update(JSON.parse(text));
      return null;
    }
    const reason = problemDetail(response, text) || `the board answers ${response.status}`;
    return { reason, retryAfter: retryAfter(response) };
  }

  /** @returns {Promise<boolean>} Whether the board has taken note. */
  async signOut() {
    try {
      const { ok } = await fetch(this.url, { method: 'DELETE' });
      if (ok) this.signedOut();
      return ok;
    } catch {
      return false;
    }
  }

  /** @param {{role: Role | null, mode: 'password' | 'none'}} answer */
  #update({ role, mode }) {
    const [enabled, signInRequired] = [mode !== 'none', mode !== 'none' && role === null];
    if (this.role === role && this.enabled === enabled && this.signInRequired === signInRequired) return;
    Object.assign(this, { role, enabled, signInRequired });
    this.dispatchEvent(new Event('change'));
  }
}

/**
 * The secret of a link that signs in, which is removed from the address bar and the history at once.
 * @returns {string | null}
 */
export function takeSignInToken() {
  const secret = SIGN_IN_FRAGMENT.exec(location.hash)?.[1] ?? null;
  if (secret !== null) history.replaceState(null, '', location.pathname + location.search);
  return secret;
}
