/**
 * Trickle ICE over WHEP: sends this browser's candidates as SDP fragments (RFC 8840) while they are gathered. Starting and ending
 * sessions is done elsewhere.
 */

import { firstMid, sdpFragment } from './sdp.js';

/**
 * Sends this browser's candidates to the board, from `setLocalDescription` until the end of the session or the next ICE restart:
 * one request at a time, each with all candidates that were gathered meanwhile.
 */
export class CandidateSender {
  /** @type {RTCIceCandidate[]} */
  #queue = [];
  #complete = false;
  #busy = false;
  #stopped = new AbortController();

  /**
   * To be constructed before `setLocalDescription`, which starts gathering.
   * @param {RTCPeerConnection} peer
   * @param {(fragment: string) => Promise<boolean>} send Resolves to whether to continue.
   */
  constructor(peer, send) {
    this.peer = peer;
    this.send = send;
    peer.addEventListener('icecandidate', ({ candidate }) => {
      if (candidate?.candidate) this.#queue.push(candidate);
      else if (candidate === null) this.#complete = true;
      this.#flush();
    }, { signal: this.#stopped.signal });
  }

  stop() {
    this.#stopped.abort();
  }

  async #flush() {
    if (this.#busy || this.#stopped.signal.aborted) return;
    const description = this.peer.localDescription?.sdp;
    if (!description) return;
    // Everything is bundled on the first section's transport; candidates of other sections lead nowhere.
    const mid = firstMid(description);
    const candidates = this.#queue.filter((candidate) => (candidate.sdpMid ?? mid) === mid);
    this.#queue = [];
    const end = this.#complete;
    this.#complete = false;
    if (candidates.length === 0 && !end) return;
    this.#busy = true;
    const accepted = await this.send(sdpFragment(description, candidates.map(({ candidate }) => candidate), end));
    this.#busy = false;
    if (accepted) this.#flush();
    else this.stop();
  }
}
