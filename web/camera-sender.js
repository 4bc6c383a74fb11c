/**
 * What a session may send to the board besides its commands: a section of the offer for the picture of the viewer's camera, and the
 * senders that the board agrees to.
 */

/** What the board passes on. */
const CODECS = ['video/h264', 'video/vp8'];

/** The most that the picture takes of the uplink, in bit/s: enough for a face, and it leaves room for the voice. */
const MAX_BITRATE = 1_000_000;

/**
 * Offers to send the picture of a camera. The section is one of its own: one that sends and receives lists only what a browser can
 * do both ways, and some play H.264 but do not write it.
 * @param {RTCPeerConnection} peer
 */
export function offerCamera(peer) {
  const transceiver = peer.addTransceiver('video', { direction: 'sendonly', sendEncodings: [{ maxBitrate: MAX_BITRATE }] });
  const known = globalThis.RTCRtpReceiver?.getCapabilities?.('video')?.codecs ?? [];
  const codecs = known.filter(({ mimeType }) => CODECS.includes(mimeType.toLowerCase()));
  try {
    // The offer stays short: it delays the first picture.
    if (codecs.length > 0) transceiver.setCodecPreferences?.(codecs);
  } catch {
    // Then it lists what it likes.
  }
  return transceiver;
}

/**
 * The sender of a transceiver, if the board takes what it sends.
 * @param {RTCRtpTransceiver | undefined} transceiver
 * @returns {RTCRtpSender | null}
 */
export function agreedSender(transceiver) {
  const direction = transceiver?.currentDirection;
  return transceiver && (direction === 'sendrecv' || direction === 'sendonly') ? transceiver.sender : null;
}
