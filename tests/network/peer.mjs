/**
 * Chromium as a sender, for comparison: a moving picture with the block code of the test pattern, in a peer connection from
 * a browser on one host to a browser on another. The description goes from page to page through the test program.
 */

import { launch } from '../page/browser.mjs';
import { cellOf, crc16 } from '../page/code.mjs';

const [WIDTH, HEIGHT, FPS] = [640, 360, 30];

/** For a page to load or a connection to be established, on a busy machine. */
const DEADLINE = { timeout: 30_000 };

/** Runs inside the sending page: a canvas that moves and shows the time, and an offer with candidates. */
async function offer({ width, height, fps, limit }) {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width, height });
  document.body.append(canvas);
  const context = canvas.getContext('2d');
  let frame = 0;
  const draw = () => {
    // Moving stripes of many colours: about as much to encode as the test pattern.
    for (let x = 0; x < width; x += 8) {
      context.fillStyle = `hsl(${(x * 7 + frame * 5) % 360} 70% ${30 + ((x * 13 + frame) % 40)}%)`;
      context.fillRect((x + frame * 3) % width, 0, 8, height);
    }
    drawCode(context, width, height, performance.timeOrigin + performance.now(), frame++);
  };
  setInterval(draw, 1000 / fps);
  draw();
  const peer = new RTCPeerConnection();
  globalThis.peer = peer;
  const [track] = canvas.captureStream(fps).getVideoTracks();
  const transceiver = peer.addTransceiver(track, { direction: 'sendonly', sendEncodings: [{ maxBitrate: limit }] });
  const codecs = RTCRtpSender.getCapabilities('video').codecs;
  const h264 = codecs.filter(({ mimeType }) => mimeType === 'video/H264');
  const rest = codecs.filter(({ mimeType }) => mimeType === 'video/rtx');
  if (h264.length > 0) transceiver.setCodecPreferences([...h264, ...rest]);
  await peer.setLocalDescription();
  await gathered(peer);
  return peer.localDescription.sdp;
}

/** Runs inside the viewing page. */
async function answer(sdp) {
  const peer = new RTCPeerConnection();
  globalThis.peer = peer;
  const video = Object.assign(document.createElement('video'), { muted: true, autoplay: true });
  document.body.append(video);
  peer.ontrack = ({ track, receiver }) => {
    receiver.jitterBufferTarget = 0;
    video.srcObject = new MediaStream([track]);
  };
  await peer.setRemoteDescription({ type: 'offer', sdp });
  await peer.setLocalDescription();
  await gathered(peer);
  return peer.localDescription.sdp;
}

function gathered(peer) {
  return new Promise((resolve) => {
    const check = () => peer.iceGatheringState === 'complete' && resolve();
    peer.addEventListener('icegatheringstatechange', check);
    check();
  });
}

/** Draws the block code, as src/capture/camera/timecode.rs does. */
function drawCode(context, width, height, captured, frame) {
  const cell = cellOf(width, height);
  const bytes = new Uint8Array(13);
  const view = new DataView(bytes.buffer);
  const time = Math.round(captured * 10);
  view.setUint16(1, Math.floor(time / 2 ** 32));
  view.setUint32(3, time % 2 ** 32);
  view.setUint32(7, frame);
  view.setUint16(11, crc16(bytes.slice(0, 11)));
  const fill = (column, row, white) => {
    context.fillStyle = white ? '#fff' : '#000';
    context.fillRect((2 + column) * cell, (2 + row) * cell, cell, cell);
  };
  for (let row = 0; row < 4; row++) {
    fill(0, row, true);
    fill(1, row, false);
    for (let column = 0; column < 26; column++) {
      const bit = row * 26 + column;
      fill(2 + column, row, (bytes[bit >> 3] & (0x80 >> (bit & 7))) !== 0);
    }
  }
}

/** What the functions that run inside the pages need there. */
const FUNCTIONS = `Object.assign(globalThis, (() => {
  ${[cellOf, crc16, drawCode, gathered].join('\n')}
  return { cellOf, crc16, drawCode, gathered };
})());`;

/** A connection between two browsers. */
export class Peer {
  #browsers = [];

  /**
   * @param {import('./lab.mjs').Lab} lab
   * @param {import('./lab.mjs').Host} from
   * @param {import('./lab.mjs').Host} to
   * @param {number} limit The sender's limit in bit/s.
   */
  static async connect(lab, from, to, limit) {
    const peer = new Peer();
    const [sender, viewer] = await Promise.all([from, to].map((host) => peer.#open(lab, host)));
    const sdp = await sender.evaluate(offer, { width: WIDTH, height: HEIGHT, fps: FPS, limit });
    const answered = await viewer.evaluate(answer, sdp);
    await sender.evaluate((sdp) => globalThis.peer.setRemoteDescription({ type: 'answer', sdp }), answered);
    await viewer.waitForFunction(() => document.querySelector('video').videoWidth > 0, null, DEADLINE);
    peer.page = viewer;
    return peer;
  }

  async #open(lab, host) {
    const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';
    const path = lab.file(`chromium-${host.name}`, `#!/bin/sh\nexec ${host.prefix.join(' ')} ${chromium} "$@"\n`, 0o755);
    // Without a camera's permission Chromium hides its addresses behind names that nothing resolves here.
    const browser = await launch(['--disable-features=WebRtcHideLocalIpsWithMdns'], path);
    this.#browsers.push(browser);
    const page = await browser.newPage();
    await page.addInitScript(FUNCTIONS);
    await page.goto('data:text/html,<body></body>');
    return page;
  }

  async close() {
    await Promise.all(this.#browsers.map((browser) => browser.close()));
  }
}
