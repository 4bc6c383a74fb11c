/**
 * What a receiver asks for beyond a browser's defaults: capture times with the pictures, and no delay before display.
 */

/** RTP header extensions wanted beyond those that browsers offer by themselves: when a picture was taken, and how long to hold it. */
const EXTENSIONS = [
  'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time',
  'http://www.webrtc.org/experiments/rtp-hdrext/playout-delay',
];

/**
 * Asks for the header extensions that are off by default, where the browser has the call for it (Chromium 117 and later).
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
 * Writes the wanted header extensions into the video section of an offer. Older Chromium has no call for it, but honours
 * the edit; Firefox would take back an extension that it does not know, and Safari ignores it, so neither is asked.
 * @param {RTCSessionDescriptionInit} offer
 * @returns {RTCSessionDescriptionInit}
 */
export function addHeaderExtensions(offer) {
  const sdp = offer.sdp ?? '';
  const chromium = 'chrome' in globalThis;
  if (!chromium || sdp.includes(EXTENSIONS[0])) return offer;
  const taken = new Set([...sdp.matchAll(/^a=extmap:(\d+)/gm)].map(([, id]) => Number(id)));
  const lines = [];
  for (const uri of EXTENSIONS) {
    if (sdp.includes(uri)) continue;
    // Ids above 14 need two-byte headers (RFC 8285 section 4.2), which not everybody writes.
    const id = [...Array(14).keys()].map((n) => n + 1).find((n) => !taken.has(n));
    if (!id) break;
    taken.add(id);
    lines.push(`a=extmap:${id} ${uri}\r\n`);
  }
  return { type: offer.type, sdp: sdp.replace(/^(m=video [^]*?)(?=a=recvonly)/m, `$1${lines.join('')}`) };
}

/**
 * How long pictures and sound are held before they are shown, as far as the network allows it: 0 for at once.
 * @param {RTCRtpReceiver} receiver
 * @param {number} milliseconds
 */
export function setJitterBufferTarget(receiver, milliseconds) {
  const extended = /** @type {any} */ (receiver);
  if ('jitterBufferTarget' in extended) extended.jitterBufferTarget = milliseconds;
  else if ('playoutDelayHint' in extended) extended.playoutDelayHint = milliseconds / 1000;
}
