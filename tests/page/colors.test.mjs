/** The colours of every kind of source in a real browser: what the canvas shows is what the camera meant. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DEVICE, fakeCamera } from './fake-camera.mjs';
import { LATER, PHONE, SOON, open, start } from './page.mjs';

/** Luma and both differences of the fake camera's two fields (tests/fake/frame.rs). */
const FIELDS = [[120, 90, 170], [120, 170, 90]];

const BT601 = [0.299, 0.114];
const BT709 = [0.2126, 0.0722];

/** RGB by the weights of red and blue in luma (ITU-T H.273 equations 38 to 43). */
function rgb([luma, blue, red], [ofRed, ofBlue], fullRange = false) {
  const y = fullRange ? luma : (luma - 16) * 255 / 219;
  const step = fullRange ? 1 : 255 / 224;
  const r = y + 2 * (1 - ofRed) * (red - 128) * step;
  const b = y + 2 * (1 - ofBlue) * (blue - 128) * step;
  return [r, (y - ofRed * r - ofBlue * b) / (1 - ofRed - ofBlue), b].map(Math.round);
}

/** The middle of the left and the right half, in the lower half of the picture. */
const shown = () => {
  const video = document.querySelector('video');
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0);
  return [1, 3].map((at) => [...context.getImageData(canvas.width * at / 4, canvas.height * 3 / 4, 1, 1).data.slice(0, 3)]);
};

/** Red, green and blue may differ by this much. */
const TOLERANCE = 3;

async function check(t, options, expected) {
  const program = await start(t, options);
  const page = await open(t, program.url, PHONE);
  await page.waitForFunction(() => document.querySelector('video').readyState >= 2, null, SOON);
  // The first frames of a stream are coarse.
  const close = (pixels) => pixels.every((pixel, at) => pixel.every((value, c) => Math.abs(value - expected[at][c]) <= TOLERANCE));
  const until = Date.now() + LATER.timeout;
  let pixels = await page.evaluate(shown);
  while (!close(pixels) && Date.now() < until) {
    await page.evaluate(() => new Promise((done) => document.querySelector('video').requestVideoFrameCallback(done)));
    pixels = await page.evaluate(shown);
  }
  assert.ok(close(pixels), `shown ${JSON.stringify(pixels)}, expected ${JSON.stringify(expected)}`);
}

const SOURCES = [
  ['YUYV of a webcam', 'YUYV', '', BT601, false],
  ['YUYV that declares BT.709', 'YUYV', 'answer colorspace=3', BT709, false],
  ['YUYV that declares full range', 'YUYV', 'answer quantization=1', BT601, true],
  ['planar 4:2:0', 'YU12', '', BT601, false],
  ['semi-planar 4:2:0 in BT.709 and full range', 'NV12', 'answer colorspace=3 quantization=1', BT709, true],
  ['RGB', 'RGB3', '', BT601, false],
];

for (const [name, fourcc, answer, weights, fullRange] of SOURCES) {
  test(`the colours of ${name} are right`, async (t) => {
    const environment = fakeCamera(t, `format ${fourcc} 640x480@30\n${answer}\n`);
    const expected = FIELDS.map((field) => rgb(field, weights, fullRange));
    await check(t, { config: `[[camera]]\ndevice = "${DEVICE}"\n`, environment }, expected);
  });
}

test('the colours of JPEG are right', async (t) => {
  // A JPEG's values are of full range, whatever the driver declares.
  const environment = fakeCamera(t, 'format MJPG 640x480@30\n');
  await check(t, { config: `[[camera]]\ndevice = "${DEVICE}"\n`, environment }, FIELDS.map((field) => rgb(field, BT601, true)));
});

const ORANGE = [188, 102, 44];
const encoded = (more) =>
  `exec:ffmpeg -v error -re -f lavfi -i color=c=0xbc662c:s=640x480:r=15 ${more} -c:v libx264 -profile:v baseline -preset ultrafast`
  + ' -tune zerolatency -g 15 -f h264 -';

const STREAMS = [
  ['without colours in it', '-pix_fmt yuv420p'],
  [
    'that says BT.709',
    '-vf scale=out_color_matrix=bt709:out_range=limited,format=yuv420p -colorspace bt709 -color_primaries bt709 -color_trc bt709',
  ],
];

for (const [name, more] of STREAMS) {
  test(`the colours of an H.264 stream ${name} are right`, async (t) => {
    const config = `[[camera]]\ndevice = "${encoded(more)}"\nformat = "H264"\n`;
    await check(t, { config }, [ORANGE, ORANGE]);
  });
}
