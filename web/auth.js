/**
 * Who is signed in to this board, read and changed at `api/session`. The form for typing a password is elsewhere; no password
 * and no sign-in link is stored.
 */

import { problemDetail, retryAfter } from './signalling.js';

/** The fragment of a sign-in link. Browsers send fragments to no server. */
const SIGN_IN_FRAGMENT = /^#sign-in=(.+)$/;

/**
 * @typedef {'viewer' | 'operator'} Role
 *
 * @typedef {object} SignInFailure
 * @property {string} reason From the board or from this module; lower case, without a full stop.
 * @property {number} retryAfter How many milliseconds to wait before the next attempt; 0 for none.
 */

/** Event: `change` when `role`, `enabled` or `signInRequired` changed. */
export class Auth extends EventTarget {
  /** The role of the signed-in user; null if nobody is, and before the first answer. @type {Role | null} */
  role = null;
  /** Whether this board uses sign-in. */
  enabled = false;
  /** Whether the board answers nothing until somebody signs in. */
  signInRequired = false;

  /** @param {URL} url */
  constructor(url) {
    super();
    this.url = url;
  }

  /** Asks who is signed in. No answer changes nothing: a board that cannot be reached serves nothing else either. */
  async refresh() {
    try {
      const response = await fetch(this.url, { cache: 'no-store' });
      if (response.ok) this.#update(await response.json());
    } catch {
      // The connection reports this itself.
    }
  }

  /** Nobody is signed in any more: a request was answered with 401, or the user signed out. */
  signedOut() {
    this.#update({ role: null, mode: 'password' });
  }

  /**
   * @param {{password: string} | {link: string}} secret
   * @returns {Promise<SignInFailure | null>} Null on success.
   */
  async signIn(secret) {
    let response;
    let text;
    try {
      const headers = { 'Content-Type': 'application/json' };
      response = await fetch(this.url, { method: 'POST', headers, body: JSON.stringify(secret) });
      text = await response.text();
    } catch {
      return { reason: 'the board is not responding', retryAfter: 0 };
    }
    if (response.ok) {
      this.#update(JSON.parse(text));
      return null;
    }
    const reason = problemDetail(response, text) || `the board answered ${response.status}`;
    return { reason, retryAfter: retryAfter(response) };
  }

  /** @returns {Promise<boolean>} Whether the board confirmed it. */
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
 * The token of a sign-in link. It is removed from the address bar and the history at once.
 * @returns {string | null}
 */
export function takeSignInToken() {
  const secret = SIGN_IN_FRAGMENT.exec(location.hash)?.[1] ?? null;
  if (secret !== null) history.replaceState(null, '', location.pathname + location.search);
  return secret;
}
