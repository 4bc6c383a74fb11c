/**
 * Why no media connection came about, and what to change on the board: pure, from what the browser has tried to sentences.
 */

import { text } from './i18n.js';

/** @import { Evidence, End } from './ice-diagnostics.js' */
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
  const words = text().diagnosis;
  const { offered, locals, pairs, servers } = evidence;
  const relays = servers.filter((url) => /^turns?:/i.test(url));
  const udp = pairs.filter(({ local, remote }) => local.type !== 'relay' && remote.protocol === 'udp');
  const ports = [...new Set(offered.map(({ port }) => port))].join(', ');
  const relay = relayStep(evidence, relays);
  const tried = lines(evidence);

  if (pairs.some(({ answered }) => answered > 0)) return { ...words.answered, tried };
  if (offered.length === 0) {
    const { title, text, step } = words.nothing;
    return { title, text, steps: [step, ...relay], tried };
  }
  if (isPublic(hostOf(host)) && offered.every(({ address }) => isPrivate(address))) {
    const { title, text, forward, advertise } = words.inside;
    return { title, text: text(host, places(offered)), steps: [forward(ports), advertise(hostOf(host)), ...relay], tried };
  }
  const tcp = offered.some(({ protocol }) => protocol === 'tcp');
  const openTcp = tcp ? words.letTcp(ports) : words.openTcp;
  if (!locals.some(({ protocol, type }) => protocol === 'udp' && type !== 'relay') && udp.length === 0) {
    const { title, text, step } = words.noUdp;
    return { title, text: text + (tcp ? words.noTcpEither : words.end), steps: [step, openTcp, ...relay], tried };
  }
  if (udp.some(({ sent }) => sent > 0)) {
    const { title, text, step, between } = words.blocked;
    return {
      title,
      text: text(places(offered, 'udp')) + (tcp ? words.noTcpEither : between),
      steps: [step(ports), openTcp, ...relay],
      tried,
    };
  }
  const { title, text: unfit, step } = words.unfit;
  return { title, text: unfit(places(offered)), steps: [step, ...relay], tried };
}

/**
 * What is to be done about relays: have one, or mend the one there is.
 * @param {Evidence} evidence
 * @param {string[]} relays
 */
function relayStep({ errors, locals, pairs }, relays) {
  const words = text().diagnosis.relay;
  if (relays.length === 0) return [words.none];
  const names = list(relays);
  const failed = errors.find(({ url }) => relays.some((relay) => sameServer(relay, url)));
  if (locals.some(({ type }) => type === 'relay') || pairs.some(({ local }) => local.type === 'relay')) return [words.dead(names)];
  return [failed?.code === 401 || failed?.code === 441 ? words.refused(names) : words.silent(names)];
}

/**
 * What was tried, in a person's words.
 * @param {Evidence} evidence
 */
function lines({ offered, locals, pairs, servers, errors }) {
  const words = text().diagnosis.tried;
  const found = new Map();
  for (const { local, remote, sent, answered, state } of pairs) {
    const way = words.way(remote.protocol.toUpperCase(), place(remote)) + (local.type === 'relay' ? words.byRelay(local.url ?? '') : '');
    const sum = found.get(way) ?? { sent: 0, answered: 0, states: new Set() };
    found.set(way, { sent: sum.sent + sent, answered: sum.answered + answered, states: sum.states.add(state) });
  }
  const tried = [...found].map(([way, { sent, answered, states }]) => {
    if (sent > 0) return words.asked(way, sent, answered);
    return [...states].every((state) => state === 'failed') ? words.notConnected(way) : words.notAsked(way);
  });
  const untried = offered
    .map((offer) => ({ tcp: offer.protocol === 'tcp', way: words.way(offer.protocol.toUpperCase(), place(offer)) }))
    .filter(({ way }) => ![...found.keys()].some((tried) => tried.startsWith(way)))
    // A TCP connection that is refused leaves no trace in the browser's statistics.
    .map(({ tcp, way }) => (tcp && locals.some(({ protocol }) => protocol === 'tcp') ? words.notConnected(way) : words.notTried(way)));
  const asked = servers.map((url) => {
    const error = errors.find((error) => sameServer(url, error.url));
    if (error) return `${url}: ${error.text || words.notReached} (${error.code})`;
    return `${url}: ${used(locals, url) ? words.hasAnswered : words.noAnswer}`;
  });
  return [...tried, ...untried, ...asked];
}

/**
 * Whether a server has given this browser an address.
 * @param {End[]} locals
 * @param {string} url
 */
function used(locals, url) {
  return locals.some((local) => local.url && sameServer(local.url, url));
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
  return `${address.includes(':') ? `[${address}]` : address || text().diagnosis.unnamed}:${port}`;
}

/** @param {string[]} things */
export function list(things) {
  const words = text().diagnosis;
  if (things.length === 0) return words.noAddress;
  if (things.length === 1) return things[0];
  return words.and(things.slice(0, -1).join(', '), things[things.length - 1]);
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
