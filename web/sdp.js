/**
 * The few things that are read from and written into session descriptions: addresses, ICE credentials and the fragments
 * of RFC 8840. Pure: text in, text out.
 */

/**
 * @typedef {object} RemoteCandidate A candidate of the board.
 * @property {string} protocol `udp` or `tcp`.
 * @property {string} address
 * @property {number} port
 * @property {string} type `host`, `srflx` or `relay`.
 */

/**
 * The candidates in a description or a fragment, each once.
 * @param {string} sdp
 * @returns {RemoteCandidate[]}
 */
export function remoteCandidates(sdp) {
  const found = new Map();
  for (const [, protocol, address, port, type] of sdp.matchAll(/^a=candidate:\S+ 1 (\S+) \d+ (\S+) (\d+) typ (\S+)/gm)) {
    const candidate = { protocol: protocol.toLowerCase(), address, port: Number(port), type };
    found.set(Object.values(candidate).join(' '), candidate);
  }
  return [...found.values()];
}

/**
 * An SDP fragment (RFC 8840 section 9) of this browser's side.
 * @param {string} description The description that the candidates belong to.
 * @param {string[]} [candidates] As `candidate:...`.
 * @param {boolean} [end] Whether no more will come.
 */
export function sdpFragment(description, candidates = [], end = false) {
  return [
    `a=ice-ufrag:${firstValue(description, 'a=ice-ufrag:')}`,
    `a=ice-pwd:${firstValue(description, 'a=ice-pwd:')}`,
    `m=${firstValue(description, 'm=') ?? 'video 9 UDP/TLS/RTP/SAVPF 0'}`,
    `a=mid:${firstMid(description)}`,
    ...candidates.map((candidate) => `a=${candidate}`),
    ...(end ? ['a=end-of-candidates'] : []),
    '',
  ].join('\r\n');
}

/** The section on whose transport everything is bundled. @param {string} description */
export function firstMid(description) {
  return firstValue(description, 'a=mid:') ?? '0';
}

/**
 * The board's answer after an ICE restart: the first answer with the credentials and candidates of a fragment.
 * @param {string} answer
 * @param {string} restart The fragment that answers the restart (draft-ietf-wish-whep section 4.4.2).
 * @returns {string | null} Null when the fragment has no credentials.
 */
export function applyIceRestart(answer, restart) {
  const [ufrag, pwd] = [firstValue(restart, 'a=ice-ufrag:'), firstValue(restart, 'a=ice-pwd:')];
  if (!ufrag || !pwd) return null;
  const candidates = restart.split(/\r?\n/).filter((line) => /^a=(candidate:|end-of-candidates)/.test(line));
  const lines = answer
    .split(/\r?\n/)
    .filter((line) => line !== '' && !/^a=(candidate:|end-of-candidates)/.test(line))
    .map((line) => {
      if (line.startsWith('a=ice-ufrag:')) return `a=ice-ufrag:${ufrag}`;
      if (line.startsWith('a=ice-pwd:')) return `a=ice-pwd:${pwd}`;
      return line;
    });
  // The candidates belong to the first section, which carries the others too.
  const [first, second] = lines.flatMap((line, at) => (line.startsWith('m=') ? [at] : []));
  if (first === undefined) return null;
  lines.splice(second ?? lines.length, 0, ...candidates);
  return [...lines, ''].join('\r\n');
}

/**
 * What follows the first `start` at the beginning of a line.
 * @param {string} sdp
 * @param {string} start
 */
function firstValue(sdp, start) {
  const line = sdp.split(/\r?\n/).find((line) => line.startsWith(start));
  return line?.slice(start.length).trim();
}
