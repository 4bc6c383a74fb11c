/**
 * Why no media connection came about, and what to change on the board: pure, from what the browser has tried to sentences.
 */

/** @import { Evidence, End, Pair } from './paths.js' */
/** @import { Offered } from './sdp.js' */

/**
 * @typedef {object} Diagnosis
 * @property {string} title
 * @property {string} text
 * @property {string[]} steps What a person can do about it, the likeliest first.
 * @property {string[]} tried What was tried, a line each.
 */

/**
 * @param {Evidence} evidence
 * @param {string} host The board's name and port in the address of this page.
 * @returns {Diagnosis}
 */
export function diagnose(evidence, host) {
  const { offered, locals, pairs, servers } = evidence;
  const relays = servers.filter((url) => /^turns?:/i.test(url));
  const udp = pairs.filter(({ local, remote }) => local.type !== 'relay' && remote.protocol === 'udp');
  const ports = [...new Set(offered.map(({ port }) => port))].join(', ');
  const relay = relayStep(evidence, relays);
  const tried = lines(evidence);

  if (pairs.some(({ answered }) => answered > 0)) {
    return {
      title: 'A way to the board was found, but no picture came over it',
      text: 'The board has answered on the media path, and the encrypted connection did not come about.',
      steps: ['Look into the board’s log (journalctl -u porthole)', 'Check that no VPN or firewall holds back large packets'],
      tried,
    };
  }
  if (offered.length === 0) {
    return {
      title: 'The board has offered no address',
      text: 'It answers over HTTP, but none of its addresses may be used for pictures.',
      steps: ['Check interfaces, exclude_interfaces and networks in the section [rtc] of the board’s configuration', ...relay],
      tried,
    };
  }
  if (isPublic(hostOf(host)) && offered.every(({ address }) => isPrivate(address))) {
    return {
      title: 'The board offers only addresses of its own network',
      text: `This page was loaded from ${host}, but the board names ${places(offered)}, where this device cannot reach it.`,
      steps: [
        `Forward UDP port ${ports} (and TCP port ${ports}) to the board on the router in front of it`,
        `Set advertise = ["${hostOf(host)}"] in the section [rtc] of the board’s configuration`,
        ...relay,
      ],
      tried,
    };
  }
  const tcp = offered.some(({ protocol }) => protocol === 'tcp');
  const openTcp = tcp
    ? `Let TCP port ${ports} through too: it is the way where UDP is blocked`
    : `Set tcp = true in the section [rtc] of the board’s configuration, for networks that block UDP`;
  if (!locals.some(({ protocol, type }) => protocol === 'udp' && type !== 'relay') && udp.length === 0) {
    return {
      title: 'This browser uses no UDP',
      text: 'A policy, an extension or a proxy setting keeps it from sending video the usual way'
        + (tcp ? ', and TCP did not get through either.' : '.'),
      steps: ['Allow WebRTC over UDP in this browser, or try another one', openTcp, ...relay],
      tried,
    };
  }
  if (udp.some(({ sent }) => sent > 0)) {
    return {
      title: 'UDP seems to be blocked',
      text: `The board answers over HTTP, but nothing comes back from ${places(offered, 'udp')}`
        + (tcp ? ', and TCP did not get through either.' : '. A firewall, a VPN or a guest network may stand between.'),
      steps: [`Let UDP port ${ports} through the firewall to the board, and forward it where a router stands between`, openTcp, ...relay],
      tried,
    };
  }
  return {
    title: 'The board answers, but no video comes through',
    text: `No address of this device fits one of the board’s: ${places(offered)}.`,
    steps: ['Put this device into the same network as the board', ...relay],
    tried,
  };
}

/**
 * What is to be done about relays: have one, or mend the one there is.
 * @param {Evidence} evidence
 * @param {string[]} relays
 */
function relayStep({ errors, locals, pairs }, relays) {
  if (relays.length === 0) return ['Name a TURN server in ice_servers in the section [rtc] of the board’s configuration; it relays where nothing else gets through'];
  const names = list(relays);
  const failed = errors.find(({ url }) => relays.some((relay) => sameServer(relay, url)));
  if (locals.some(({ type }) => type === 'relay') || pairs.some(({ local }) => local.type === 'relay')) {
    return [`The relay ${names} was reached, but it does not reach the board: let it send to the board’s ports`];
  }
  if (failed?.code === 401 || failed?.code === 441) {
    return [`The relay ${names} refuses the credentials: check username, credential or secret in ice_servers`];
  }
  return [`The relay ${names} does not answer this device: check that it runs, and urls in ice_servers; turns: with transport=tcp passes most firewalls`];
}

/**
 * What was tried, in a person's words.
 * @param {Evidence} evidence
 */
function lines({ offered, locals, pairs, servers, errors }) {
  const found = new Map();
  for (const { local, remote, sent, answered, state } of pairs) {
    const via = local.type === 'relay' ? ` by relay${local.url ? ` ${local.url}` : ''}` : '';
    const key = `${remote.protocol.toUpperCase()} to ${place(remote)}${via}`;
    const sum = found.get(key) ?? { sent: 0, answered: 0, states: new Set() };
    found.set(key, { sent: sum.sent + sent, answered: sum.answered + answered, states: sum.states.add(state) });
  }
  const tried = [...found].map(([key, { sent, answered, states }]) => {
    if (sent > 0) return `${key}: asked ${times(sent)}, ${answered > 0 ? `answered ${times(answered)}` : 'no answer'}`;
    return `${key}: ${[...states].every((state) => state === 'failed') ? 'not connected' : 'not asked'}`;
  });
  const untried = offered
    .map((offer) => `${offer.protocol.toUpperCase()} to ${place(offer)}`)
    .filter((key) => ![...found.keys()].some((tried) => tried.startsWith(key)))
    // A TCP connection that is refused leaves no trace in the browser's statistics.
    .map((key) => `${key}: ${key.startsWith('TCP') && locals.some(({ protocol }) => protocol === 'tcp') ? 'not connected' : 'not tried'}`);
  const asked = servers.map((url) => {
    const error = errors.find((error) => sameServer(url, error.url));
    return `${url}: ${error ? `${error.text || 'not reached'} (${error.code})` : used(locals, url)}`;
  });
  return [...tried, ...untried, ...asked];
}

/**
 * Whether a server has given this browser an address.
 * @param {End[]} locals
 * @param {string} url
 */
function used(locals, url) {
  return locals.some((local) => local.url && sameServer(local.url, url)) ? 'has answered' : 'no answer';
}

/** @param {number} count */
function times(count) {
  return count === 1 ? 'once' : `${count} times`;
}

/**
 * Browsers tell a server in their own spelling: with the port and without the transport, or the other way round.
 * @param {string} a
 * @param {string} b
 */
function sameServer(a, b) {
  const name = (/** @type {string} */ url) => url.replace(/\?.*$/, '').replace(/^(stun|turn)s?:/i, '').replace(/:\d+$/, '').toLowerCase();
  return name(a) === name(b);
}

/**
 * @param {Offered[]} offered
 * @param {string} [protocol]
 */
function places(offered, protocol) {
  return list([...new Set(offered.filter((offer) => !protocol || offer.protocol === protocol).map(place))]);
}

/** @param {Offered | End} end */
function place({ address, port }) {
  return `${address.includes(':') ? `[${address}]` : address || 'an unnamed address'}:${port}`;
}

/** @param {string[]} things */
export function list(things) {
  if (things.length === 0) return 'no address';
  if (things.length === 1) return things[0];
  return `${things.slice(0, -1).join(', ')} and ${things[things.length - 1]}`;
}

/** The name or address of `name:port`. @param {string} host */
function hostOf(host) {
  return host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}

/**
 * Whether an address leads nowhere from outside (RFC 1918, 6598, 3927, 4193, 4291); names that only browsers know
 * (`....local`) belong to the own network too.
 * @param {string} address
 */
export function isPrivate(address) {
  if (address.includes(':')) return /^(::1$|f[cd]|fe[89ab])/i.test(address);
  return /^(127|10)\.|^192\.168\.|^169\.254\.|^172\.(1[6-9]|2\d|3[01])\.|^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|\.local$/.test(address);
}

/**
 * Whether a page of this host came from the internet, as far as can be told: a public address, or a name with a domain that is
 * none of those for homes.
 * @param {string} host
 */
function isPublic(host) {
  if (/^[\d.]+$/.test(host) || host.includes(':')) return !isPrivate(host);
  return host.includes('.') && !/\.(local|lan|home|internal|localdomain|localhost|test|box|home\.arpa)$/i.test(host);
}
