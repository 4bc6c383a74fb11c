/** A stereo microphone plays as stereo: a real program that hears a tone on the left and nothing on the right, in a real browser. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { CONFIG, SOON, click, open, playing, start } from './page.mjs';

const RATE = 48_000;

/** An ALSA device that reads a tone of 440 Hz on the left from a file, as in `tests/audio.rs`; the path of its configuration. */
function device(t) {
  const folder = mkdtempSync(join(tmpdir(), 'porthole-stereo-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const samples = new Int16Array(RATE * 2 * 60);
  for (let at = 0; at < samples.length; at += 2) samples[at] = 8_000 * Math.sin((2 * Math.PI * 440 * at) / 2 / RATE);
  const file = join(folder, 'left.raw');
  writeFileSync(file, samples);
  const path = join(folder, 'asound.conf');
  writeFileSync(path, `</usr/share/alsa/alsa.conf>
pcm.left { type plug slave { rate ${RATE} format S16_LE channels 2 pcm {
  type file slave.pcm null file /dev/null infile "${file}" format raw } } }
`);
  return path;
}

test('what is on the left stays on the left', async (t) => {
  const config = CONFIG.replace('device = "tone"', 'device = "left"\nchannels = 2');
  const program = await start(t, { config, environment: { ALSA_CONFIG_PATH: device(t) } });
  const page = await open(t, program.url);
  await playing(page);
  await click(page, '#mute');
  await page.evaluate(async () => {
    const context = new AudioContext();
    await context.resume();
    const splitter = context.createChannelSplitter(2);
    context.createMediaStreamSource(document.querySelector('video').srcObject).connect(splitter);
    globalThis.meters = [0, 1].map((channel) => {
      const meter = context.createAnalyser();
      splitter.connect(meter, channel);
      return meter;
    });
  });
  const [left, right] = await (await page.waitForFunction(() => {
    const levels = globalThis.meters.map((meter) => {
      const samples = new Float32Array(meter.fftSize);
      meter.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
    });
    return levels[0] > 0.1 && levels;
  }, null, SOON)).jsonValue();
  assert.ok(right < left / 20, `left ${left}, right ${right}`);
});
