/** Parts of the page that need no browser: messages and pictures of the control channel, graphs, and names of files. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { module } from './web.mjs';

const { Control, ControlError } = await module('control.js');
const { TimeSeries, linePath, range } = await module('time-series.js');
const { clock } = await module('recorder.js');
const { fileName } = await module('download.js');

/** The page's end of a data channel, and what it sent. */
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
function piece(transfer, index, count, content, { version = 1, type = 'image/jpeg' } = {}) {
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

const announced = { transfer: 7, bytes: 5, type: 'image/jpeg', width: 4, height: 2, sha256: 'ab' };

test('answers find their requests, errors keep their code, and events are told by their names', async () => {
  const channel = new Channel();
  const control = new Control(channel);
  const told = [];
  control.addEventListener('viewers', ({ params }) => told.push(params.count));
  const [first, second] = [control.request('status'), control.request('camera.select', { camera: 'attic' })];
  assert.deepEqual(channel.sent, [{ id: 1, method: 'status', params: {} }, { id: 2, method: 'camera.select', params: { camera: 'attic' } }]);
  for (const noise of ['{', '[]', 'null', '7', { id: 99, result: 1 }, new ArrayBuffer(3), new ArrayBuffer(40)]) channel.receive(noise);
  channel.receive({ method: 'viewers', params: { count: 3 } });
  channel.receive({ id: 2, error: { code: -32001, message: 'no camera attic', data: { cameras: ['door'] } } });
  channel.receive({ id: 1, result: { version: '1' } });
  assert.deepEqual(await first, { version: '1' });
  await assert.rejects(second, (error) => error instanceof ControlError && error.code === -32001 && error.data.cameras[0] === 'door');
  assert.deepEqual(told, [3]);
});

test('a channel that closes answers what waits', async () => {
  const channel = new Channel();
  const control = new Control(channel);
  const waiting = [control.request('status'), control.snapshot()];
  channel.dispatchEvent(new Event('close'));
  for (const request of waiting) await assert.rejects(request, /closed the channel/);
  channel.send = () => {
    throw new Error('the channel is closed');
  };
  await assert.rejects(control.request('status'), /the channel is closed/);
});

test('a picture is put together from its pieces, between which other messages may come', async () => {
  const channel = new Channel();
  const picture = new Control(channel).snapshot('door');
  assert.deepEqual(channel.sent, [{ id: 1, method: 'snapshot', params: { camera: 'door' } }]);
  channel.receive({ id: 1, result: announced });
  channel.receive(piece(6, 0, 1, [9]));
  channel.receive(piece(7, 0, 2, [1, 2, 3]));
  channel.receive({ method: 'notice', params: {} });
  channel.receive(piece(7, 1, 2, [4, 5]));
  const { blob, ...rest } = await picture;
  assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), new Uint8Array([1, 2, 3, 4, 5]));
  assert.equal(blob.type, 'image/jpeg');
  assert.deepEqual(rest, { width: 4, height: 2, sha256: 'ab' });
});

test('a picture with a missing, strange or surplus piece is none', async () => {
  const cases = [
    [[piece(7, 1, 2, [4, 5])], /piece 1 of 2 .* where piece 0/],
    [[piece(7, 0, 2, [1, 2, 3], { version: 2 })], /version 2/],
    [[piece(7, 0, 2, [1, 2, 3]), piece(7, 1, 2, [4, 5, 6])], /6 bytes came, 5 were announced/],
    [[piece(7, 0, 2, [1, 2, 3]), piece(7, 1, 2, [4])], /4 bytes came, 5 were announced/],
  ];
  for (const [pieces, why] of cases) {
    const channel = new Channel();
    const picture = new Control(channel).snapshot();
    channel.receive({ id: 1, result: announced });
    for (const message of pieces) channel.receive(message);
    await assert.rejects(picture, why);
  }
});

test('figures of two minutes are kept and drawn, with gaps where there was none', () => {
  const history = new TimeSeries();
  for (let second = 0; second <= 200; second++) history.push({ fps: second === 150 ? null : second }, second * 1000);
  const points = history.of('fps');
  assert.equal(points.length, 120);
  assert.equal(points[0].value, 81);
  assert.deepEqual(range(points), { min: 81, max: 200, count: 119 });
  const drawn = linePath(points, 120, 24);
  assert.match(drawn, /^M1\.0 14\.3L2\.0 /);
  assert.match(drawn, /L120\.0 0\.0$/);
  assert.equal(drawn.match(/M/g).length, 2);
  assert.deepEqual(history.of('loss'), []);
  assert.equal(linePath([{ at: 0, value: 0 }, { at: 60_000, value: 0 }], 120, 24), 'M60.0 24.0L120.0 24.0');
});

test('files are named by camera and time, and a recording tells its length', () => {
  assert.equal(fileName('door', new Date(2026, 1, 3, 4, 5, 6), 'jpg'), 'door-2026-02-03-04-05-06.jpg');
  assert.deepEqual([0, 61_999, 3_723_000].map(clock), ['0:00', '1:01', '1:02:03']);
});
