/**
 * Parses `Link` headers (RFC 8288) and the STUN and TURN servers in them (draft-ietf-wish-whep section 4.6). Pure: text in,
 * values out.
 */

/** `<target>`, after the commas that separate links. */
const TARGET = /[\s,]*<([^>]*)>/y;

/** `; name`, `; name=token` or `; name="quoted string"`. */
const PARAMETER = /\s*;\s*([^\s=;,"]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/y;

/**
 * @typedef {object} Link
 * @property {string} target
 * @property {Map<string, string>} parameters By lower-case name.
 */

/**
 * The links of a header. Text that is not a link is skipped up to the next target.
 * @param {string | null} header Several fields joined into one, as by `Headers.get`.
 * @returns {Link[]}
 */
export function parseLinks(header) {
  const text = header ?? '';
  const found = [];
  let at = 0;
  for (;;) {
    const target = match(TARGET, text, at);
    if (!target) {
      const next = text.indexOf('<', at);
      if (next < 0 || next === at) return found;
      at = next;
      continue;
    }
    at += target[0].length;
    const parameters = new Map();
    for (let pair; (pair = match(PARAMETER, text, at)); at += pair[0].length) {
      const name = pair[1].toLowerCase();
      // If a name occurs twice, the first counts (RFC 8288 section 3.3).
      if (!parameters.has(name)) parameters.set(name, pair[2]?.replace(/\\(.)/g, '$1') ?? pair[3] ?? '');
    }
    found.push({ target: target[1].trim(), parameters });
  }
}

/**
 * The servers of links with `rel="ice-server"`. A TURN server without a password is skipped: a browser would reject it and the
 * valid ones with it.
 * @param {string | null} header
 * @returns {RTCIceServer[]}
 */
export function iceServers(header) {
  const servers = [];
  for (const { target, parameters } of parseLinks(header)) {
    const relations = (parameters.get('rel') ?? '').toLowerCase().split(/\s+/);
    const scheme = target.slice(0, target.indexOf(':')).toLowerCase();
    if (!relations.includes('ice-server')) continue;
    if (scheme === 'stun' || scheme === 'stuns') {
      servers.push({ urls: target });
    } else if (scheme === 'turn' || scheme === 'turns') {
      const username = parameters.get('username');
      const credential = parameters.get('credential');
      const type = parameters.get('credential-type') ?? 'password';
      if (username && credential && type === 'password') servers.push({ urls: target, username, credential });
    }
  }
  return servers;
}

/**
 * @param {RegExp} sticky
 * @param {string} text
 * @param {number} at
 */
function match(sticky, text, at) {
  sticky.lastIndex = at;
  return sticky.exec(text);
}
