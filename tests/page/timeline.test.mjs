/** The time line of what the board has recorded: who sees it, playing from anywhere on it, back to live, protecting and deleting. */

import assert from 'node:assert/strict';
import { linkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { violations } from './axe.mjs';
import { CONFIG, DESKTOP, LANDSCAPE, LATER, PHONE, SOON, becomes, click, eventually, movePointer, open, playing, start, stats } from './page.mjs';
import { Recorded, yesterday } from './recorded.mjs';
import { module } from './web.mjs';

const { at, bars, beginOf, days, following } = await module('time-line.js');

const HOUR = 3_600;
const SIZES = { phone: PHONE, desktop: DESKTOP };

/** The browser is where the names of the recordings are. */
const UTC = { timezoneId: 'UTC', locale: 'en-GB' };

/** Opens the time line, in which the latest day is unfolded. */
async function openTimeLine(page) {
  await movePointer(page);
  await click(page, '#history');
  await page.waitForSelector('.day, #history-note:has-text("Nothing")', SOON);
}

/** Waits until a recording is played, and shows a frame; what the player shows. */
function played(page, met, what) {
  const look = () => page.evaluate(() => {
    const { currentTime, readyState, paused, currentSrc } = document.querySelector('#recorded');
    const clock = document.querySelector('#playback-time').textContent;
    return { time: currentTime, shown: readyState >= 2, paused, source: currentSrc, clock };
  });
  return eventually(look, (seen) => seen.shown && met(seen), what);
}

/** Whether live video is sent: the page's bitrate. */
const live = (page, isSent) => stats(page, isSent
  ? () => globalThis.porthole.stats().video?.bitrate > 0
  : () => globalThis.porthole.stats().video?.bitrate === 0);

/** A program with these recordings, which makes no others. */
const withRecordings = (t, recorded, more = '') => start(t, { config: `${CONFIG}\n[auth]\nmode = "none"\n${recorded.lines}${more}` });

test('recordings are sorted into days and hours, and bars show where they are', () => {
  const midnight = new Date(2026, 10, 30).getTime() / 1000;
  const recording = (id, start, length, cause = 'motion') => ({ id, camera: 'a', start, length, cause });
  const all = [
    recording(4, midnight + 9.5 * HOUR, null, 'manual'),
    recording(3, midnight + 8 * HOUR + 600, 60),
    recording(2, midnight - 600, 2 * HOUR, 'always'),
    recording(1, midnight - 30 * HOUR, 10),
  ];
  const now = midnight + 10 * HOUR + 60;
  const found = days(all, now);
  assert.deepEqual(found.map(({ begin, events }) => [begin, events]), [
    [midnight, 2],
    [beginOf(midnight - 600, 'day'), 0],
    [beginOf(midnight - 30 * HOUR, 'day'), 1],
  ]);
  // The running one goes on until now, and a long one is in each of its hours.
  assert.deepEqual(found[0].hours.map(({ begin, recordings, events }) => [(begin - midnight) / HOUR, recordings.map(({ id }) => id), events.length]), [
    [10, [4], 0], [9, [4], 1], [8, [3], 1], [1, [2], 0], [0, [2], 0],
  ]);
  assert.deepEqual(found[1].recordings.map(({ id }) => id), [2]);
  assert.equal(bars([all[1]], midnight + 8 * HOUR, HOUR, now), 'M600.0 0h60.0v10h-60.0z');
  // A short one is wide enough to be seen, also at the end of the hour.
  assert.equal(bars([recording(5, midnight + 3_599, 1)], midnight, HOUR, now), 'M3576.0 0h24.0v10h-24.0z');
  assert.equal(bars([all[2]], midnight, HOUR, now), 'M0.0 0h3600.0v10h-3600.0z');
  // A clock that was set while it ran makes no million hours.
  assert.ok(days([recording(6, 0, null)], now).length <= 3);
});

test('a place on the time line is a recording and a time in it, or the nearest recording', () => {
  const recording = (id, start, length) => ({ id, camera: 'a', start, length, cause: 'motion' });
  const all = [recording(2, 2_000, 100), recording(1, 1_000, 60)];
  const found = (time) => {
    const { recording, offset } = at(all, time, 9_999);
    return [recording.id, offset];
  };
  assert.deepEqual([found(1_030), found(900), found(1_400), found(1_700), found(5_000)], [[1, 30], [1, 0], [1, 0], [2, 0], [2, 0]]);
  assert.equal(at([], 5, 9), null);
  const files = [recording(9, 5_000, 60), recording(8, 3_601, 3_600), recording(7, 0, 3_600)];
  assert.equal(following(files, files[2])?.id, 8);
  assert.equal(following(files, files[1]), null, 'there is a gap');
  assert.equal(following(files, files[0]), null);
});

for (const [name, viewport] of Object.entries(SIZES)) {
  test(`what was recorded is played from the tapped time, and live is one tap away (${name})`, async (t) => {
    const recorded = new Recorded(t);
    recorded.add({ at: yesterday(10, 10), seconds: 1_800, cause: 'always' });
    recorded.add({ at: yesterday(11, 5), seconds: 8 });
    const program = await withRecordings(t, recorded);
    const page = await open(t, program.url, viewport, { ...UTC, hasTouch: name === 'phone' });
    await playing(page);
    assert.equal(page.requests.some((url) => url.includes('recordings')), false, 'nothing is fetched before it is opened');
    await openTimeLine(page);
    assert.match(await page.textContent('.day-name'), /^Yesterday$/);
    assert.equal(await page.textContent('.day-count'), '1 event');
    assert.deepEqual(await page.locator('.hour-name').allTextContents(), ['11:00', '10:00']);

    const bar = await page.locator('.hour:has-text("10:00") svg').boundingBox();
    const [x, y] = [bar.x + bar.width * 25 / 60, bar.y + bar.height / 2];
    if (name === 'phone') await page.touchscreen.tap(x, y);
    else await page.mouse.click(x, y);
    // A pixel is ten seconds and more.
    const seen = await played(page, ({ time, paused }) => !paused && time > 880, 'the recording should play');
    assert.ok(Math.abs(seen.time - 900) < 25, `${seen.time} s`);
    assert.match(seen.clock, /, 10:2[45]:\d\d$/);
    assert.match(seen.source, /\/recordings\/1\.mp4$/);
    await page.waitForSelector('.bar-playhead[d^="M1"]', { state: 'attached', ...SOON });
    assert.equal(await page.isVisible('#video'), false);
    // Live is connected, and costs nothing meanwhile.
    await live(page, false);
    await becomes(page, 'live');
    assert.equal(await page.isVisible('.controls'), false);

    // Something that has happened, by its picture.
    const card = page.locator('.event');
    await eventually(() => card.locator('img').evaluate((image) => image.naturalWidth), (width) => width > 0, 'its picture');
    await card.click(SOON);
    const event = await played(page, ({ source }) => source.endsWith('/recordings/2.mp4'), 'the event should play');
    assert.ok(event.time < 3, `${event.time} s`);
    assert.equal(await card.getAttribute('aria-current'), 'true');
    assert.match(await page.textContent('#recording-what'), /11:05:00 · Motion · 0:08$/);

    await page.click('#playback-live', SOON);
    await page.waitForSelector('#playback', { state: 'hidden', ...SOON });
    await playing(page);
    await live(page, true);
    assert.equal(await page.isVisible('#video'), true);
    await page.waitForSelector('#warning', { ...SOON, state: 'hidden' });
    assert.equal(await page.evaluate(() => document.querySelector('#recorded').currentSrc === '' || document.querySelector('#recorded').networkState === 0), true, 'nothing is fetched any more');
    assert.deepEqual(page.errors, []);
  });
}

test('a file that goes on in another one is followed by it, and the last one stays at its end', async (t) => {
  const recorded = new Recorded(t);
  recorded.add({ at: yesterday(10, 10), seconds: 6, cause: 'always' });
  recorded.add({ at: yesterday(10, 10, 6), seconds: 4, cause: 'always' });
  recorded.add({ at: yesterday(10, 30), seconds: 4, cause: 'always' });
  const program = await withRecordings(t, recorded);
  const page = await open(t, program.url, DESKTOP, UTC);
  await playing(page);
  await openTimeLine(page);
  await page.locator('.hour').focus();
  await page.keyboard.press('Enter');
  await played(page, ({ source }) => source.endsWith('/1.mp4'), 'the first one');
  const last = await played(page, ({ source, time }) => source.endsWith('/2.mp4') && time >= 3.9, 'the second one to its end');
  assert.match(last.clock, /10:10:(09|10)$/);
});

test('recordings are protected and deleted by operators, after a question', async (t) => {
  const recorded = new Recorded(t);
  recorded.add({ at: yesterday(10), seconds: 3, cause: 'manual' });
  recorded.add({ at: yesterday(11), seconds: 3 });
  const program = await withRecordings(t, recorded);
  const page = await open(t, program.url, PHONE, { ...UTC, hasTouch: true, acceptDownloads: true });
  await playing(page);
  await openTimeLine(page);
  await page.locator('.event').first().click(SOON);
  await played(page, ({ source }) => source.endsWith('/2.mp4'), 'it should play');

  await page.click('#recording-protect', SOON);
  await page.waitForSelector('#recording-protect[aria-pressed=true]', SOON);
  assert.ok(recorded.names().some((name) => /-000002-motion-protected-3000ms/.test(name)), `${recorded.names()}`);
  assert.equal(await page.isDisabled('#recording-delete'), true);
  assert.match(await page.textContent('#recording-note'), /protected/);
  await page.getByRole('button', { name: '11:00:00 Motion 0:03 protected', exact: true }).waitFor(SOON);
  await page.click('#recording-protect', SOON);
  await page.waitForSelector('#recording-delete:enabled', SOON);

  await page.click('#recording-delete', SOON);
  await page.waitForSelector('#delete-dialog[open]', SOON);
  assert.match(await page.textContent('#delete-what'), /11:00:00 · Motion · 0:03$/);
  await page.click('#delete-cancel', SOON);
  assert.equal(recorded.names().length, 2);
  // Escape is no as well, and the recording goes on.
  await page.click('#recording-delete', SOON);
  await page.keyboard.press('Escape');
  await page.waitForSelector('#delete-dialog', { state: 'hidden', ...SOON });
  assert.equal(await page.isVisible('#playback'), true);
  assert.equal(recorded.names().length, 2);
  await page.click('#recording-delete', SOON);
  await page.click('#delete-confirm', SOON);
  await page.waitForSelector('#playback', { state: 'hidden', ...SOON });
  await page.waitForFunction(() => document.querySelectorAll('.event').length === 1, null, SOON);
  assert.match(recorded.names().join(), /^[^,]*-000001-manual-3000ms\.mp4$/);
  await playing(page);

  await page.locator('.event').click(SOON);
  const coming = page.waitForEvent('download', SOON);
  await page.click('#recording-download', SOON);
  assert.equal((await coming).suggestedFilename(), recorded.names()[0]);
  // What somebody else has deleted meanwhile cannot be protected.
  await fetch(`${program.url}api/recordings/1`, { method: 'DELETE' });
  await page.click('#recording-protect', SOON);
  await page.waitForSelector('.toast.error:has-text("no recording 1")', SOON);
  await page.waitForSelector('#history-note:has-text("Nothing has been recorded yet.")', SOON);
  await page.waitForSelector('#playback', { state: 'hidden', ...SOON });
});

test('who may not see recordings has no time line, nor has a board that never recorded', async (t) => {
  const passwords = { viewer: 'six old boats drift', operator: 'six old boats sink' };
  const recorded = new Recorded(t);
  recorded.add({ at: yesterday(10), seconds: 3 });
  const auth = '[auth]\nmode = "password"\n';
  for (const [role, allow, isShown] of [['viewer', 'operator', false], ['viewer', 'viewer', true], ['operator', 'operator', true]]) {
    const program = await start(t, { config: `${CONFIG}\n${recorded.lines}allow = "${allow}"\n${auth}`, passwords });
    const page = await open(t, program.url, PHONE, UTC);
    await page.getByLabel('Password', { exact: true }).fill(passwords[role], SOON);
    await page.keyboard.press('Enter');
    await playing(page);
    // The status has come.
    await page.waitForFunction(() => !document.querySelector('#photo').disabled, null, SOON);
    if (!isShown) {
      assert.equal(await page.isVisible('#history'), false);
      await page.keyboard.press('t');
      assert.equal(await page.isVisible('#panel'), false);
      assert.equal(page.requests.some((url) => url.includes('recordings')), false);
      continue;
    }
    await openTimeLine(page);
    await page.locator('.event').click(SOON);
    await played(page, () => true, 'it should play');
    const may = role === 'operator';
    assert.deepEqual([await page.isVisible('#recording-protect'), await page.isVisible('#recording-delete')], [may, may], role);
    assert.equal(await page.isVisible('#recording-download'), true);
    assert.equal(page.errors.filter((error) => !error.includes('401')).length, 0, `${page.errors}`);
    // It is for whoever has signed in.
    await page.request.delete(`${program.url}api/session`);
    await page.reload();
    await page.waitForSelector('#password', SOON);
    assert.equal(await page.isVisible('#history'), false);
  }
  const never = await start(t, { config: CONFIG });
  const page = await open(t, never.url, PHONE);
  await playing(page);
  await page.waitForFunction(() => !document.querySelector('#photo').disabled, null, SOON);
  assert.equal(await page.isVisible('#history'), false);
});

test('a recording appears while it is made, and what there is of it is played', async (t) => {
  const recorded = new Recorded(t);
  const program = await withRecordings(t, recorded, 'mode = "manual"\nbefore = 0\nafter = 0\n');
  const page = await open(t, program.url, DESKTOP, UTC);
  await playing(page);
  await openTimeLine(page);
  assert.match(await page.textContent('#history-note'), /^Nothing has been recorded yet\.$/);
  await program.command('record.start');
  await page.waitForSelector('#history.marked', SOON);
  await page.waitForSelector('.event:has-text("Manual"):has-text("still recording")', SOON);
  const listed = async () => (await (await fetch(`${program.url}api/recordings`)).json()).recordings[0];
  await eventually(listed, ({ bytes }) => bytes > 1_500_000, 'some seconds should be recorded', LATER);
  // It stays open only until its end.
  await page.evaluate(() => document.querySelector('#recorded').addEventListener(
    'timeupdate', ({ target }) => target.currentTime > 1 && target.pause()));
  await page.locator('.event').click(SOON);
  await played(page, ({ time }) => time > 1, 'the running one should play');
  assert.equal(await page.isDisabled('#recording-delete'), true);
  assert.match(await page.textContent('#recording-note'), /still being recorded/);
  await program.command('record.stop');
  await program.command('record.stop');
  await page.waitForSelector('#history:not(.marked)', { state: 'attached', ...SOON });
  await page.waitForFunction(() => /^\d+:\d\d$/.test(document.querySelector('.event-length')?.textContent ?? ''), null, SOON);
  await page.waitForSelector('#recording-delete:enabled', SOON);
  assert.deepEqual(page.errors, []);
});

test('thousands of recordings are few elements, and are read in parts', async (t) => {
  const recorded = new Recorded(t);
  recorded.add({ at: yesterday(0), seconds: 1 });
  const [video] = recorded.names();
  // One a minute, for two days and more.
  for (let number = 2; number <= 3_000; number++) {
    const time = new Date(yesterday(23, 59) - (3_000 - number) * 60_000).toISOString().slice(0, 19).replace(/[T:]/g, '-');
    const padded = String(number).padStart(6, '0');
    linkSync(join(recorded.directory, video), join(recorded.directory, `camera-${time}+0000-${padded}-motion-1000ms.mp4`));
    linkSync(join(recorded.directory, '000001.jpg'), join(recorded.directory, `${padded}.jpg`));
  }
  const program = await withRecordings(t, recorded);
  const page = await open(t, program.url, PHONE, { ...UTC, hasTouch: true });
  await playing(page);
  await openTimeLine(page);
  const count = () => page.locator('#history-pane *').count();
  const lists = () => page.requests.filter((url) => url.includes('api/recordings')).length;
  const pictures = () => page.requests.filter((url) => url.endsWith('.jpg')).length;
  assert.equal(lists(), 1);
  assert.ok(await count() < 500, `${await count()} elements`);
  assert.ok(pictures() < 40, `${pictures()} pictures`);
  const shown = await page.locator('.event').count();
  await page.locator('.history-hour .wide').first().click(SOON);
  await page.waitForFunction((shown) => document.querySelectorAll('.event').length === shown + 24, shown, SOON);
  for (let part = 2; part <= 10; part++) {
    await page.click('#history-older', SOON);
    await eventually(lists, (read) => read === part, `part ${part}`);
    await page.waitForSelector('#history-older:enabled', SOON);
  }
  // Two thousand are known.
  assert.ok(await page.locator('.day').count() >= 2);
  assert.ok(await count() < 1_500, `${await count()} elements`);
  await page.locator('.day').nth(1).click(SOON);
  await page.waitForFunction(() => document.querySelectorAll('.day[aria-expanded=true]').length === 1, null, SOON);
  assert.equal(await page.locator('.day').nth(1).getAttribute('aria-expanded'), 'true');
  assert.ok(await count() < 1_500, `${await count()} elements`);
  assert.deepEqual(page.errors, []);
});

test('the keyboard does it all', async (t) => {
  const recorded = new Recorded(t);
  recorded.add({ at: yesterday(10, 10), seconds: 30 });
  const program = await withRecordings(t, recorded);
  const page = await open(t, program.url, DESKTOP, UTC);
  await playing(page);
  await page.waitForSelector('#history', { state: 'attached', ...SOON });
  await page.waitForFunction(() => !document.querySelector('#history').hidden, null, SOON);
  await page.keyboard.press('t');
  await page.waitForSelector('.event', SOON);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'panel-title');
  const focused = () => page.evaluate(() => document.activeElement.dataset.key ?? document.activeElement.id);
  const keys = [];
  for (let press = 0; press < 4; press++) {
    await page.keyboard.press('Tab');
    keys.push((await focused()).slice(0, 1));
  }
  assert.deepEqual(keys, ['p', 'd', 'h', 'r'], 'close, day, hour, event');
  await page.keyboard.press('Enter');
  await played(page, ({ time }) => time > 0, 'it should play');
  assert.equal((await focused()).slice(0, 1), 'r', 'the focus stays');
  // Keys of the live video do nothing now.
  await page.keyboard.press('m');
  assert.equal(await page.evaluate(() => document.querySelector('#video').muted), true);
  await page.keyboard.press('Escape');
  await page.waitForSelector('#playback', { state: 'hidden', ...SOON });
  assert.equal(await page.isVisible('#panel'), true);
  await page.keyboard.press('Escape');
  await page.waitForSelector('#panel', { state: 'hidden', ...SOON });
});

test('everything is large enough for touch, and on the screen', async (t) => {
  const recorded = new Recorded(t);
  for (let minute = 0; minute < 50; minute += 5) recorded.add({ at: yesterday(10, minute), seconds: 3 });
  const program = await withRecordings(t, recorded);
  for (const viewport of [PHONE, { width: 320, height: 568 }, LANDSCAPE, DESKTOP]) {
    const page = await open(t, program.url, viewport, UTC);
    await playing(page);
    await movePointer(page);
    const check = async (where, selector, least) => {
      const boxes = await page.locator(selector).evaluateAll((elements) => elements.map((element) => {
        const { x, y, width, height } = element.getBoundingClientRect();
        return { id: element.id || element.className, x, y, width, height };
      }));
      assert.ok(boxes.length >= least, `${where}: ${boxes.length}`);
      for (const { id, x, width, height } of boxes) {
        assert.ok(width >= 44 && height >= 44, `${viewport.width} ${where}: ${id} is ${width} x ${height}`);
        assert.ok(x >= 0 && x + width <= viewport.width, `${viewport.width} ${where}: ${id} is at ${x}`);
      }
    };
    await page.waitForSelector('#history', SOON);
    await check('live', '.control:visible', 10);
    await openTimeLine(page);
    await check('time line', '#history-pane button:visible', 7);
    await page.locator('.event').first().click(SOON);
    await played(page, () => true, 'it should play');
    await check('playing', '#history-pane :is(button, a):visible, #playback button:visible', 11);
    await page.keyboard.press('Escape');
    await page.close();
  }
});

for (const [name, viewport] of Object.entries(SIZES)) {
  for (const locale of ['en-US', 'ko-KR']) {
    test(`axe-core finds nothing on the time line on a ${name} in ${locale}`, async (t) => {
      const recorded = new Recorded(t);
      recorded.add({ at: yesterday(9), seconds: 1_800, cause: 'always' });
      for (let minute = 0; minute < 50; minute += 5) recorded.add({ at: yesterday(10, minute), seconds: 3, isProtected: minute === 45 });
      const program = await withRecordings(t, recorded);
      const page = await open(t, program.url, viewport, { ...UTC, locale, reducedMotion: 'reduce' });
      await playing(page);
      await openTimeLine(page);
      assert.deepEqual(await violations(page), [], 'time line');
      await page.locator('.event').first().click(SOON);
      await played(page, () => true, 'it should play');
      assert.deepEqual(await violations(page), [], 'playing what is protected');
      await page.locator('.event').nth(1).click(SOON);
      await page.waitForSelector('#recording-delete:enabled', SOON);
      await page.click('#recording-delete', SOON);
      assert.deepEqual(await violations(page), [], 'asking');
      await page.click('#delete-cancel', SOON);
      await page.click('#panel-close', SOON);
      await page.waitForSelector('#playback-list', SOON);
      assert.deepEqual(await violations(page), [], 'playing without the panel');
      const texts = await page.evaluate(() => document.querySelector('#history-pane').textContent);
      if (locale === 'ko-KR') assert.match(texts, /움직임/);
    });
  }
}
