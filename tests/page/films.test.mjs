/** Films of time-lapses among the recordings: their seconds are not those of the day. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONFIG, click, eventually, movePointer, open, playing, start } from './page.mjs';
import { Recorded, yesterday } from './recorded.mjs';
import { module } from './web.mjs';

const { at, bars, days, following } = await module('time-line.js');

const HOUR = 3_600;

test('a film is only where it begins, and no bar leads to it', () => {
  const midnight = new Date(2026, 10, 30).getTime() / 1000;
  const film = { id: 7, camera: 'a', start: midnight, length: 9_000, cause: 'timelapse' };
  const recording = { id: 8, camera: 'a', start: midnight + 9_000, length: 60, cause: 'always' };
  const now = midnight + 10 * HOUR;
  const [day] = days([recording, film], now);
  assert.deepEqual(day.hours.map(({ begin, events }) => [(begin - midnight) / HOUR, events.map(({ id }) => id)]), [[2, []], [0, [7]]]);
  assert.equal(day.events, 0, 'nothing has happened');
  assert.equal(bars([film], midnight, HOUR, now), '');
  assert.equal(at([film], midnight, now), null);
  assert.equal(following([recording, film], film), null);
  assert.equal(following([{ ...film, id: 9, start: midnight + 9_060 }, recording], recording), null);
});

test('the film of a day is played as a film, and its end is the end', async (t) => {
  const recorded = new Recorded(t);
  recorded.add({ at: yesterday(0, 0), seconds: 2, cause: 'timelapse' });
  const program = await start(t, { config: `${CONFIG}\n[auth]\nmode = "none"\n${recorded.lines}` });
  const page = await open(t, program.url, undefined, { timezoneId: 'UTC', locale: 'en-GB' });
  await playing(page);
  await movePointer(page);
  await click(page, '#history');
  await page.click('.event:has-text("Time-lapse")');
  const look = () => page.evaluate(() => {
    const { ended, currentTime } = document.querySelector('#recorded');
    return { ended, currentTime, clock: document.querySelector('#playback-time').textContent, playhead: document.querySelectorAll('.bar-playhead[d^=M]').length };
  });
  const seen = await eventually(look, ({ ended }) => ended, 'it should play to its end');
  assert.match(seen.clock, /, Time-lapse$/);
  assert.ok(seen.currentTime > 1.5, `${seen.currentTime} s`);
});
