/** The block code reader, on frames drawn from the description of the layout. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cellOf, crc16, decode } from './code.mjs';

/** Camera 5c, captured a5a512345678, frame deadbeef, and the CRC of these eleven bytes. */
const PAYLOAD = [0x5c, 0xa5, 0xa5, 0x12, 0x34, 0x56, 0x78, 0xde, 0xad, 0xbe, 0xef];

/** The luma of a frame as a function, with the code on a grey background. */
function frame(width, height, payload, crc = crc16(payload)) {
  const cell = cellOf(width, height);
  const bits = [...payload, crc >> 8, crc & 255].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (x, y) => {
    const [column, row] = [Math.floor(x / cell) - 2, Math.floor(y / cell) - 2];
    if (column < -1 || column > 28 || row < -1 || row > 4) return 90;
    if (column < 0 || column > 27 || row < 0 || row > 3) return 16;
    const white = column < 2 ? column === 0 : bits[row * 26 + column - 2] === '1';
    return white ? 235 : 16;
  };
}

test('the CRC matches the catalogue’s check value for CRC-16/IBM-3740', () => {
  assert.equal(crc16(new TextEncoder().encode('123456789')), 0x29b1);
});

test('reads a code at every size', () => {
  for (const [width, height, cell] of [[256, 64, 8], [320, 180, 8], [640, 480, 8], [1280, 720, 16], [1920, 1080, 24]]) {
    assert.equal(cellOf(width, height), cell);
    const code = decode(width, height, frame(width, height, PAYLOAD));
    assert.deepEqual(code, { camera: 0x5c, captured: 0xa5a512345678 / 10, frame: 0xdeadbeef }, `${width}x${height}`);
  }
});

test('finds no code in a damaged, a uniform and a small frame', () => {
  assert.equal(decode(320, 180, frame(320, 180, PAYLOAD, crc16(PAYLOAD) ^ 1)), null);
  assert.equal(decode(320, 180, () => 128), null);
  assert.equal(decode(248, 180, () => 128), null);
});
