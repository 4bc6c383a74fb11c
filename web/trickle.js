/**
 * Trickle ICE over WHEP: this browser's late candidates as SDP fragments (RFC 8840). When a session begins and ends does
 * not belong here.
 */

/** This browser's candidates on their way to the board: at most one request at a time, the next takes all that came meanwhile. */
export class Candidates {
  /** @type {RTCIceCandidate[]} */
  #waiting = [];
  #complete = false;
  #started = false;
  #busy = false;
  #stopped = false;

  /**
   * @param {RTCPeerConnection} peer
   * @param {(fragment: string) => Promise<boolean>} send
   */
  constructor(peer, send) {
    this.peer = peer;
    this.send = send;
    peer.addEventListener('icecandidate', ({ candidate }) => {
      if (candidate?.candidate) this.#waiting.push(candidate);
      else if (candidate === null) this.#complete = true;
      this.#flush();
    });
  }

  /**
   * Begins to send; candidates that the offer held already are left out.
   * @param {string} offer
   */
  start(offer) {
    this.#waiting = this.#waiting.filter((candidate) => !offer.includes(candidate.candidate));
    this.#started = true;
    this.#flush();
  }

  stop() {
    this.#stopped = true;
  }

  async #flush() {
    if (!this.#started || this.#busy || this.#stopped) return;
    const description = this.peer.localDescription?.sdp ?? '';
    // Everything is bundled on the first section's transport; the other sections' candidates lead nowhere.
    const mid = value(description, 'a=mid:') ?? '0';
    const lines = this.#waiting.filter((candidate) => (candidate.sdpMid ?? mid) === mid);
    this.#waiting = [];
    const end = this.#complete;
    this.#complete = false;
    if (lines.length === 0 && !end) return;
    this.#busy = true;
    const go = await this.send(fragmentOf(description, mid, lines, end));
    this.#busy = false;
    if (go) this.#flush();
    else this.#stopped = true;
  }
}

/**
 * An SDP fragment with candidates (RFC 8840 section 9).
 * @param {string} description
 * @param {string} mid
 * @param {RTCIceCandidate[]} candidates
 * @param {boolean} end Whether no more will come.
 */
function fragmentOf(description, mid, candidates, end) {
  const media = value(description, 'm=') ?? 'video 9 UDP/TLS/RTP/SAVPF 0';
  return [
    `a=ice-ufrag:${value(description, 'a=ice-ufrag:')}`,
    `a=ice-pwd:${value(description, 'a=ice-pwd:')}`,
    `m=${media}`,
    `a=mid:${mid}`,
    ...candidates.map(({ candidate }) => `a=${candidate}`),
    ...(end ? ['a=end-of-candidates'] : []),
    '',
  ].join('\r\n');
}

/**
 * What follows the first `start` at the beginning of a line.
 * @param {string} sdp
 * @param {string} start
 */
function value(sdp, start) {
  const line = sdp.split(/\r?\n/).find((line) => line.startsWith(start));
  return line?.slice(start.length);
}
