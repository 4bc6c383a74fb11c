/**
 * Explains why no media connection was established and what to change on the board. Pure: ICE statistics in, sentences out.
 */

import { t } from './i18n.js';

/** @import { Evidence, IceEndpoint } from './ice-diagnostics.js' */
/** @import { RemoteCandidate } from './sdp.js' */

/**
 * @typedef {object} Diagnosis
 * @property {string} title
 * @property {string} text
 * @property {string[]} steps What the user can do, the most likely fix first.
 * @property {string[]} tried What was tried, one line each.
 */

/**
 * @param {Evidence} evidence
 * @param {string} host The board's name and port in the page's address.
 * @param {boolean} [isOperator] Whether to say what to change on the board.
 * @returns {Diagnosis}
 */
export function diagnose(evidence, host, isOperator = true) {
  const { steps, viewerSteps = [], ...found } = explain(evidence, host);
  return { ...found, steps: isOperator ? steps : [...viewerSteps, ...t().diagnosis.viewerSteps] };
}

/**
 * @param {Evidence} evidence
 * @param {string} host
 * @returns {Diagnosis & {viewerSteps?: string[]}} `viewerSteps`: those of the steps that change nothing on the board.
 */
function explain(evidence, host) {
  const texts = t().diagnosis;
  const { offered, locals, pairs, servers } = evidence;
  const relays = servers.filter((url) => /^turns?:/i.test(url));
  const udp = pairs.filter(({ local, remote }) => local.type !== 'relay' && remote.protocol === 'udp');
  const ports = [...new Set(offered.map(({ port }) => port))].join(', ');
  const relay = relayStep(evidence, relays);
  const tried = triedLines(evidence);

  if (pairs.some(({ answered }) => answered > 0)) return { ...texts.answered, tried };
  if (offered.length === 0) {
    const { title, text, step } = texts.noAddresses;
    return { title, text, steps: [step, ...relay], tried };
  }
  if (isPublic(hostOf(host)) && offered.every(({ address }) => isPrivate(address))) {
    const { title, text, forward, advertise } = texts.privateAddresses;
    return { title, text: text(host, addresses(offered)), steps: [forward(ports), advertise(hostOf(host)), ...relay], tried };
  }
  const tcp = offered.some(({ protocol }) => protocol === 'tcp');
  const enableTcp = tcp ? texts.forwardTcp(ports) : texts.enableTcp;
  if (!locals.some(({ protocol, type }) => protocol === 'udp' && type !== 'relay') && udp.length === 0) {
    const { title, text, step } = texts.noUdp;
    return { title, text: text + (tcp ? texts.noTcpEither : texts.end), steps: [step, enableTcp, ...relay], viewerSteps: [step], tried };
  }
  if (udp.some(({ sent }) => sent > 0)) {
    const { title, text, step, between } = texts.blocked;
    return {
      title,
      text: text(addresses(offered, 'udp')) + (tcp ? texts.noTcpEither : between),
      steps: [step(ports), enableTcp, ...relay],
      tried,
    };
  }
  const { title, text: noPair, step } = texts.noPair;
  return { title, text: noPair(addresses(offered)), steps: [step, ...relay], viewerSteps: [step], tried };
}

/**
 * What to do about relays: add one, or fix the one there is.
 * @param {Evidence} evidence
 * @param {string[]} relays
 */
function relayStep({ errors, locals, pairs }, relays) {
  const texts = t().diagnosis.relay;
  if (relays.length === 0) return [texts.none];
  const names = list(relays);
  const failed = errors.find(({ url }) => relays.some((relay) => sameServer(relay, url)));
  if (locals.some(({ type }) => type === 'relay') || pairs.some(({ local }) => local.type === 'relay')) return [texts.noRoute(names)];
  return [failed?.code === 401 || failed?.code === 441 ? texts.rejected(names) : texts.noResponse(names)];
}

/**
 * What was tried, as sentences.
 * @param {Evidence} evidence
 */
function triedLines({ offered, locals, pairs, servers, errors }) {
  const texts = t().diagnosis.tried;
  const found = new Map();
  for (const { local, remote, sent, answered, state } of pairs) {
    const path = texts.path(remote.protocol.toUpperCase(), formatAddress(remote)) + (local.type === 'relay' ? texts.byRelay(local.url ?? '') : '');
    const sum = found.get(path) ?? { sent: 0, answered: 0, states: new Set() };
    found.set(path, { sent: sum.sent + sent, answered: sum.answered + answered, states: sum.states.add(state) });
  }
  const tried = [...found].map(([path, { sent, answered, states }]) => {
    if (sent > 0) return texts.checked(path, sent, answered);
    return [...states].every((state) => state === 'failed') ? texts.notConnected(path) : texts.noChecks(path);
  });
  const untried = offered
    .map((offer) => ({ tcp: offer.protocol === 'tcp', path: texts.path(offer.protocol.toUpperCase(), formatAddress(offer)) }))
    .filter(({ path }) => ![...found.keys()].some((tried) => tried.startsWith(path)))
    // A refused TCP connection leaves no trace in the browser's statistics.
    .map(({ tcp, path }) => (tcp && locals.some(({ protocol }) => protocol === 'tcp') ? texts.notConnected(path) : texts.notTried(path)));
  const serverLines = servers.map((url) => {
    const error = errors.find((error) => sameServer(url, error.url));
    if (error) return `${url}: ${error.text || texts.notReached} (${error.code})`;
    return `${url}: ${responded(locals, url) ? texts.responded : texts.noResponse}`;
  });
  return [...tried, ...untried, ...serverLines];
}

/**
 * Whether a server has given this browser a candidate.
 * @param {IceEndpoint[]} locals
 * @param {string} url
 */
function responded(locals, url) {
  return locals.some((local) => local.url && sameServer(local.url, url));
}

/**
 * Browsers report a server's URL in their own form: with the port and without the transport, or the other way round.
 * @param {string} a
 * @param {string} b
 */
function sameServer(a, b) {
  const name = (/** @type {string} */ url) => url.replace(/\?.*$/, '').replace(/^(stun|turn)s?:/i, '').replace(/:\d+$/, '').toLowerCase();
  return name(a) === name(b);
}

/**
 * @param {RemoteCandidate[]} offered
 * @param {string} [protocol]
 */
function addresses(offered, protocol) {
  return list([...new Set(offered.filter((offer) => !protocol || offer.protocol === protocol).map(formatAddress))]);
}

/** @param {RemoteCandidate | IceEndpoint} end */
function formatAddress({ address, port }) {
  return `${address.includes(':') ? `[${address}]` : address || t().diagnosis.unnamed}:${port}`;
}

/** @param {string[]} things */
export function list(things) {
  const texts = t().diagnosis;
  if (things.length === 0) return texts.noAddress;
  if (things.length === 1) return things[0];
  return texts.and(things.slice(0, -1).join(', '), things[things.length - 1]);
}

/** The name or address in `name:port`. @param {string} host */
function hostOf(host) {
  return host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}

/**
 * Whether an address cannot be reached from outside (RFC 1918, 6598, 3927, 4193, 4291). The mDNS names of browsers
 * (`....local`) count as private too.
 * @param {string} address
 */
export function isPrivate(address) {
  if (address.includes(':')) return /^(::1$|f[cd]|fe[89ab])/i.test(address);
  return /^(127|10)\.|^192\.168\.|^169\.254\.|^172\.(1[6-9]|2\d|3[01])\.|^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|\.local$/.test(address);
}

/**
 * Whether a page on this host was loaded over the internet, as far as can be told: a public address, or a name whose domain is
 * none of those for home networks.
 * @param {string} host
 */
function isPublic(host) {
  if (/^[\d.]+$/.test(host) || host.includes(':')) return !isPrivate(host);
  return host.includes('.') && !/\.(local|lan|home|internal|localdomain|localhost|test|box|home\.arpa)$/i.test(host);
}
