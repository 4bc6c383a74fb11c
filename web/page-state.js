/** What the page remembers between events, apart from the state its parts keep themselves. */

/** @import { SessionStats } from './session-stats.js' */

export class PageState {
  /** The camera asked for by the address or a menu; null for the first. @type {string | null} */
  requestedCamera;
  /** A sign-in link's token that has not been used yet. @type {string | null} */
  signInToken;
  /** Whether the page waits for somebody to sign in. */
  waitingForSignIn;
  /** Statistics of the current session. @type {SessionStats | null} */
  sessionStats = null;
  /** When the last new frame came, if the video has stalled. @type {Date | null} */
  stalledSince = null;
  /** Whether to reconnect when the browser restores the page from its back/forward cache. */
  reconnectOnShow = false;

  /**
   * @param {string | null} requestedCamera
   * @param {string | null} signInToken
   */
  constructor(requestedCamera, signInToken) {
    this.requestedCamera = requestedCamera;
    this.signInToken = signInToken;
    this.waitingForSignIn = signInToken !== null;
  }

  /** The session is over: its statistics are stopped and forgotten. */
  endSession() {
    this.sessionStats?.stop();
    this.sessionStats = null;
    this.stalledSince = null;
  }
}
