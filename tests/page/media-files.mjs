/** Inspects photos and recordings with ffmpeg. */

import { execFileSync } from 'node:child_process';

import { decode } from './code.mjs';

/** The streams of a file, as `{ kind, codec, width, height }`. */
export function streams(file) {
  const probe = ['-v', 'error', '-show_entries', 'stream=codec_type,codec_name,width,height', '-of', 'json', file];
  return JSON.parse(execFileSync('ffprobe', probe, { encoding: 'utf8' })).streams
    .map(({ codec_type: kind, codec_name: codec, width, height }) => ({ kind, codec, width, height }));
}

/** The test pattern's codes of all frames in a file; null where unreadable. */
export function codes(file) {
  const { width, height } = streams(file).find(({ kind }) => kind === 'video');
  const arguments_ = ['-v', 'error', '-i', file, '-map', '0:v:0', '-fps_mode', 'passthrough', '-pix_fmt', 'gray', '-f', 'rawvideo', '-'];
  const pixels = execFileSync('ffmpeg', arguments_, { maxBuffer: 1 << 30 });
  const size = width * height;
  return Array.from({ length: pixels.length / size }, (_, at) => {
    const frame = pixels.subarray(at * size, (at + 1) * size);
    return decode(width, height, (x, y) => frame[y * width + x]);
  });
}
