/** Parts of the page that need no browser: the control channel, graphs, and file names. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { module } from './web.mjs';

const { Control, ControlError } = await module('control.js');
const { TimeSeries, linePath, range } = await module('time-series.js');
const { clock } = await module('recorder.js');
const { StatsReader } = await module('stats.js');
const { fileName } = await module('download.js');

/** A fake data channel that records what was sent. */
class Channel extends EventTarget {
  readyState = 'open';
  sent = [];
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  receive(data) {
    this.dispatchEvent(Object.assign(new Event('message'), { data: typeof data === 'object' && !(data instanceof ArrayBuffer) ? JSON.stringify(data) : data }));
  }
}

/** A binary message of the protocol. */
function chunk(transfer, index, count, content, { version = 1, type = 'image/jpeg' } = {}) {
  const message = new Uint8Array(12 + type.length + content.length);
  const header = new DataView(message.buffer);
  header.setUint32(0, transfer);
  header.setUint16(4, index);
  header.setUint16(6, count);
  header.setUint8(8, version);
  header.setUint8(9, type.length);
  message.set(new TextEncoder().encode(type), 12);
  message.set(content, 12 + type.length);
  return message.buffer;
}

const description = { transfer: 7, bytes: 5, type: 'image/jpeg', width: 4, height: 2, sha256: 'ab' };

test('responses are matched to requests, errors keep their code, and events are dispatched by name', async () => {
  const channel = new Channel();
  const control = new Control(channel);
  const counts = [];
  control.addEventListener('viewers', ({ params }) => counts.push(params.count));
  const [first, second] = [control.request('status'), control.request('camera.select', { camera: 'attic' })];
  assert.deepEqual(channel.sent, [{ id: 1, method: 'status', params: {} }, { id: 2, method: 'camera.select', params: { camera: 'attic' } }]);
  for (const noise of ['{', '[]', 'null', '7', { id: 99, result: 1 }, new ArrayBuffer(3), new ArrayBuffer(40)]) channel.receive(noise);
  channel.receive({ method: 'viewers', params: { count: 3 } });
  channel.receive({ id: 2, error: { code: -32001, message: 'no camera attic', data: { cameras: ['door'] } } });
  channel.receive({ id: 1, result: { version: '1' } });
  assert.deepEqual(await first, { version: '1' });
  await assert.rejects(second, (error) => error instanceof ControlError && error.code === -32001 && error.data.cameras[0] === 'door');
  assert.deepEqual(counts, [3]);
});

test('closing the channel rejects pending requests', async () => {
  const channel = new Channel();
  const control = new Control(channel);
  const pending = [control.request('status'), control.snapshot()];
  channel.dispatchEvent(new Event('close'));
  for (const request of pending) await assert.rejects(request, /closed the channel/);
  channel.send = () => {
    throw new Error('the channel is closed');
  };
  await assert.rejects(control.request('status'), /the channel is closed/);
});

test('a snapshot is assembled from its chunks, with other messages in between', async () => {
  const channel = new Channel();
  const snapshot = new Control(channel).snapshot('door');
  assert.deepEqual(channel.sent, [{ id: 1, method: 'snapshot', params: { camera: 'door' } }]);
  channel.receive({ id: 1, result: description });
  channel.receive(chunk(6, 0, 1, [9]));
  channel.receive(chunk(7, 0, 2, [1, 2, 3]));
  channel.receive({ method: 'notice', params: {} });
  channel.receive(chunk(7, 1, 2, [4, 5]));
  const { blob, ...rest } = await snapshot;
  assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), new Uint8Array([1, 2, 3, 4, 5]));
  assert.equal(blob.type, 'image/jpeg');
  assert.deepEqual(rest, { width: 4, height: 2, sha256: 'ab' });
});

test('a missing, unknown or surplus chunk fails the snapshot', async () => {
  const cases = [
    [[chunk(7, 1, 2, [4, 5])], /expected chunk 0, received chunk 1 of 2/],
    [[chunk(7, 0, 2, [1, 2, 3], { version: 2 })], /version 2/],
    [[chunk(7, 0, 2, [1, 2, 3]), chunk(7, 1, 2, [4, 5, 6])], /received 6 bytes instead of 5/],
    [[chunk(7, 0, 2, [1, 2, 3]), chunk(7, 1, 2, [4])], /received 4 bytes instead of 5/],
  ];
  for (const [chunks, reason] of cases) {
    const channel = new Channel();
    const snapshot = new Control(channel).snapshot();
    channel.receive({ id: 1, result: description });
    for (const message of chunks) channel.receive(message);
    await assert.rejects(snapshot, reason);
  }
});

test('time series keep two minutes and are drawn with gaps where there was no value', () => {
  const series = new TimeSeries();
  for (let second = 0; second <= 200; second++) series.push({ fps: second === 150 ? null : second }, second * 1000);
  const points = series.of('fps');
  assert.equal(points.length, 120);
  assert.equal(points[0].value, 81);
  assert.deepEqual(range(points), { min: 81, max: 200, count: 119 });
  const drawn = linePath(points, 120, 24);
  assert.match(drawn, /^M1\.0 14\.3L2\.0 /);
  assert.match(drawn, /L120\.0 0\.0$/);
  assert.equal(drawn.match(/M/g).length, 2);
  assert.deepEqual(series.of('loss'), []);
  assert.equal(linePath([{ at: 0, value: 0 }, { at: 60_000, value: 0 }], 120, 24), 'M60.0 24.0L120.0 24.0');
});

test('file names contain camera and time, and the recording time is formatted', () => {
  assert.equal(fileName('door', new Date(2026, 1, 3, 4, 5, 6), 'jpg'), 'door-2026-02-03-04-05-06.jpg');
  assert.deepEqual([0, 61_999, 3_723_000].map(clock), ['0:00', '1:01', '1:02:03']);
});

test('packet loss is known from the second report with media on, even if earlier ones had none', async () => {
  const inbound = (packetsReceived, packetsLost) => new Map([['v', { id: 'v', type: 'inbound-rtp', kind: 'video', packetsReceived, packetsLost }]]);
  const reports = [new Map(), inbound(10, 0), inbound(109, 1)];
  const reader = new StatsReader({ getStats: async () => reports.shift() });
  assert.equal((await reader.read()).video, null);
  assert.equal((await reader.read()).video.lossPercent, null);
  assert.equal((await reader.read()).video.lossPercent, 1);
});
