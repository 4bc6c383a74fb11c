/**
 * What a receiver requests beyond the browser's defaults: capture times of frames, stereo, and no delay before display.
 */

/** RTP header extensions that browsers do not offer by default: capture time and playout delay. */
const EXTENSIONS = [
  'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time',
  'http://www.webrtc.org/experiments/rtp-hdrext/playout-delay',
];

/**
 * Enables the header extensions that are off by default, where the browser has the API (Chromium 117 and later).
 * @param {RTCRtpTransceiver} transceiver
 */
export function enableHeaderExtensions(transceiver) {
  const extended = /** @type {any} */ (transceiver);
  if (extended.getHeaderExtensionsToNegotiate && extended.setHeaderExtensionsToNegotiate) {
    const extensions = extended.getHeaderExtensionsToNegotiate();
    for (const extension of extensions) {
      if (EXTENSIONS.includes(extension.uri)) extension.direction = 'sendrecv';
    }
    extended.setHeaderExtensionsToNegotiate(extensions);
  }
  return transceiver;
}

/**
 * Adds the header extensions to the video section of an offer. Older Chromium has no API for it but honours the edit; Firefox
 * would remove an extension that it does not know, and Safari ignores it, so neither is asked.
 * @param {RTCSessionDescriptionInit} offer
 * @returns {RTCSessionDescriptionInit}
 */
export function addHeaderExtensions(offer) {
  const sdp = offer.sdp ?? '';
  const chromium = 'chrome' in globalThis;
  if (!chromium || sdp.includes(EXTENSIONS[0])) return offer;
  const used = new Set([...sdp.matchAll(/^a=extmap:(\d+)/gm)].map(([, id]) => Number(id)));
  const lines = [];
  for (const uri of EXTENSIONS) {
    if (sdp.includes(uri)) continue;
    // Ids above 14 need two-byte headers (RFC 8285 section 4.2), which not all senders support.
    const id = [...Array(14).keys()].map((n) => n + 1).find((n) => !used.has(n));
    if (!id) break;
    used.add(id);
    lines.push(`a=extmap:${id} ${uri}\r\n`);
  }
  return { type: offer.type, sdp: sdp.replace(/^(m=video [^]*?)(?=a=recvonly)/m, `$1${lines.join('')}`) };
}

/**
 * Asks for stereo audio. Without it Chromium and Safari play both channels as one (RFC 7587 section 6.1); a microphone with one
 * channel is not affected.
 * @param {RTCSessionDescriptionInit} offer
 * @returns {RTCSessionDescriptionInit}
 */
export function askForStereo({ type, sdp = '' }) {
  const opus = [...sdp.matchAll(/^a=rtpmap:(\d+) opus\/48000\/2/gim)].map(([, id]) => id);
  const asked = sdp.replace(/^a=fmtp:(\d+) (.*)$/gm, (line, id, parameters) =>
    opus.includes(id) && !/(^|;) *stereo=/.test(parameters) ? `a=fmtp:${id} ${parameters.trimEnd()};stereo=1${line.endsWith('\r') ? '\r' : ''}` : line);
  return { type, sdp: asked };
}

/**
 * How long received media is buffered before it is played, as far as the network allows: 0 for no delay.
 * @param {RTCRtpReceiver} receiver
 * @param {number} milliseconds
 */
export function setJitterBufferTarget(receiver, milliseconds) {
  const extended = /** @type {any} */ (receiver);
  if ('jitterBufferTarget' in extended) extended.jitterBufferTarget = milliseconds;
  else if ('playoutDelayHint' in extended) extended.playoutDelayHint = milliseconds / 1000;
}
