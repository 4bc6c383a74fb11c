/**
 * Reads and writes the few parts of session descriptions that the page needs: candidates, ICE credentials and the fragments of
 * RFC 8840. Pure: text in, text out.
 */

/**
 * @typedef {object} RemoteCandidate A candidate of the board.
 * @property {string} protocol `udp` or `tcp`.
 * @property {string} address
 * @property {number} port
 * @property {string} type `host`, `srflx` or `relay`.
 */

/**
 * The candidates in a description or a fragment, without duplicates.
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
 * An SDP fragment (RFC 8840 section 9) for this browser's side.
 * @param {string} description The description that the candidates belong to.
 * @param {string[]} [candidates] As `candidate:...`.
 * @param {boolean} [end] Whether these are the last ones.
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

/** The mid of the section whose transport carries the bundle. @param {string} description */
export function firstMid(description) {
  return firstValue(description, 'a=mid:') ?? '0';
}

/**
 * The board's answer after an ICE restart: the first answer with the credentials and candidates of the fragment.
 * @param {string} answer
 * @param {string} restart The board's fragment (draft-ietf-wish-whep section 4.4.2).
 * @returns {string | null} Null if the fragment has no credentials.
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
  // The candidates belong to the first section, which carries the bundle.
  const [first, second] = lines.flatMap((line, at) => (line.startsWith('m=') ? [at] : []));
  if (first === undefined) return null;
  lines.splice(second ?? lines.length, 0, ...candidates);
  return [...lines, ''].join('\r\n');
}

/**
 * The rest of the first line that starts with `start`.
 * @param {string} sdp
 * @param {string} start
 */
function firstValue(sdp, start) {
  const line = sdp.split(/\r?\n/).find((line) => line.startsWith(start));
  return line?.slice(start.length).trim();
}
