/**
 * Signing in and out in a real browser at a real board that requires it: what the user sees, and what the page requests and
 * stores meanwhile. Access rules are tested without a browser.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONFIG, LATER, PHONE, SOON, announced, click, eventually, open, playing, start } from './page.mjs';

const PASSWORD = 'six old boats drift';

const closed = (t) => start(t, { config: `${CONFIG}\n[auth]\nmode = "password"\n`, passwords: { viewer: PASSWORD } });

/** Types a password and presses Enter. */
async function signIn(page, password) {
  await page.getByLabel('Password', { exact: true }).fill(password, SOON);
  await page.keyboard.press('Enter');
}

/** The board's response to a password. */
function post(program, password) {
  const headers = { 'Content-Type': 'application/json' };
  return fetch(`${program.url}api/session`, { method: 'POST', headers, body: JSON.stringify({ password }) });
}

/** Waits until the board has no viewers, as seen by another user. */
async function abandoned(program) {
  const [cookie] = (await post(program, PASSWORD)).headers.get('Set-Cookie').split(';');
  await eventually(async () => (await program.status({ cookie })).viewers, (viewers) => viewers === 0, 'no viewers');
}

const state = (page) => page.evaluate(() => globalThis.porthole.state);

test('a wrong password is rejected, the right one opens the page, and a reload stays signed in', async (t) => {
  const program = await closed(t);
  const page = await open(t, program.url);
  await announced(page, /Signed out/);
  const field = page.getByLabel('Password', { exact: true });
  assert.equal(await field.getAttribute('autocomplete'), 'current-password');
  assert.equal(await field.getAttribute('type'), 'password');
  await page.waitForFunction(() => document.activeElement.id === 'password', null, SOON);

  await signIn(page, 'mif i guess');
  await page.waitForSelector('#sign-in [role=alert]:not(:empty)', SOON);
  assert.match(await page.textContent('#sign-in [role=alert]'), /password/i);
  assert.equal(await field.getAttribute('aria-invalid'), 'true');
  assert.equal(await state(page), 'signed-out');
  assert.equal(await page.isVisible('#panel'), false, 'typing must not trigger shortcuts');

  await signIn(page, PASSWORD);
  await playing(page);
  assert.equal(await page.isVisible('#sign-in'), false);
  assert.equal(await field.inputValue(), '', 'the password does not stay in the page');
  const [cookie] = await page.context().cookies();
  assert.deepEqual(
    { name: cookie.name.replace(/_[0-9a-f]{8}$/, '_ID'), httpOnly: cookie.httpOnly, sameSite: cookie.sameSite },
    { name: 'porthole_session_ID', httpOnly: true, sameSite: 'Strict' });

  await page.reload();
  await playing(page);
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  assert.equal(kept, '[{},{},""]');
});

test('signing out ends the session, locks the page and stops all requests', async (t) => {
  const program = await closed(t);
  const page = await open(t, 'about:blank');
  await page.clock.install();
  await page.goto(program.url);
  await signIn(page, PASSWORD);
  await playing(page);
  await click(page, '#details');
  assert.equal(await page.textContent('#role'), 'viewer');
  await page.click('#sign-out');
  await announced(page, /Signed out/);
  await abandoned(program);
  assert.equal(await page.isVisible('#panel'), false);
  assert.equal(await page.isVisible('#sign-in'), true);
  assert.equal(await page.evaluate(async () => (await fetch('api/status')).status), 401);

  const before = page.requests.length;
  await page.clock.runFor(60_000);
  assert.deepEqual(page.requests.slice(before), []);
  await page.reload();
  await announced(page, /Signed out/);
});

test('signing out on another page asks to sign in again', async (t) => {
  const program = await closed(t);
  const page = await open(t, program.url);
  await signIn(page, PASSWORD);
  await playing(page);
  const other = await page.context().newPage();
  await other.goto(program.url);
  await other.click('#details', SOON);
  await other.click('#sign-out', SOON);
  await announced(page, /Signed out/);
  await signIn(page, PASSWORD);
  await playing(page);
});

test('too many attempts show a countdown to the next one', async (t) => {
  const program = await closed(t);
  const page = await open(t, program.url, PHONE);
  await announced(page, /Signed out/);
  const button = page.locator('#sign-in [type=submit]');
  // Others at the same address guess too, so that no attempt is refilled before all are used up.
  const guesses = Promise.all(Array.from({ length: 8 }, () => post(program, 'guess')));
  const guess = async () => {
    const answered = page.waitForResponse((response) => response.request().method() === 'POST', SOON);
    await signIn(page, 'guess');
    return (await answered).status();
  };
  await eventually(guess, (status) => status === 429, 'attempts to run out', LATER);
  await page.waitForFunction(() => /^Wait \d+ s$/.test(document.querySelector('#sign-in [type=submit]').textContent), null, SOON);
  assert.equal(await button.isDisabled(), true);
  const seconds = Number.parseInt((await button.textContent()).slice(5), 10);
  await page.waitForFunction(
    (seconds) => Number.parseInt(document.querySelector('#sign-in [type=submit]').textContent.slice(5), 10) < seconds, seconds, SOON);
  assert.match(await page.textContent('#sign-in [role=alert]'), /too many/i);
  const before = page.requests.length;
  await page.keyboard.press('Enter');
  assert.equal(page.requests.length, before, 'nothing is sent during the wait');
  assert.deepEqual(new Set((await guesses).map(({ status }) => status)), new Set([401, 429]));
});

test('a sign-in link works and leaves the address bar at once; a wrong one leads to the form', async (t) => {
  const program = await closed(t);
  const link = await program.link;
  const page = await open(t, link);
  await playing(page);
  assert.equal(page.url(), program.url);
  assert.equal(await page.evaluate(() => document.referrer + location.hash), '');
  const secret = link.split('=')[1];
  assert.deepEqual(page.requests.filter((url) => url.includes(secret) && !url.startsWith(`${program.url}#`)), []);
  assert.ok(!program.log.includes(secret), 'the log contains the token');

  const other = await open(t, `${program.url}?camera=camera#sign-in=${'0'.repeat(secret.length)}`);
  await other.waitForSelector('#sign-in [role=alert]:not(:empty)', SOON);
  assert.equal(other.url(), `${program.url}?camera=camera`);
  assert.equal(await state(other), 'signed-out');
  await signIn(other, PASSWORD);
  await playing(other);

  await other.evaluate((link) => (location.hash = link), `#sign-in=${'0'.repeat(secret.length)}`);
  await other.waitForSelector('#toasts :text("link")', SOON);
  assert.equal(other.url(), `${program.url}?camera=camera`);
  assert.equal(await other.isVisible('#sign-in'), false, 'the user stays signed in');
  await playing(other);
});

test('the form works on a phone and can show the password', async (t) => {
  const program = await closed(t);
  const page = await open(t, program.url, PHONE);
  await announced(page, /Signed out/);
  await page.getByLabel('Password', { exact: true }).fill('abc');
  await page.getByLabel('Show password').check();
  assert.equal(await page.getAttribute('#password', 'type'), 'text');
  for (const selector of ['#password', '#sign-in [type=submit]', '#sign-in .show-password']) {
    const { width, height } = await page.locator(selector).boundingBox();
    assert.ok(width >= 44 && height >= 44, `${selector}: ${width} x ${height}`);
  }
  const size = await page.evaluate(() => Number.parseFloat(getComputedStyle(document.querySelector('#password')).fontSize));
  assert.ok(size >= 16, `${size} px: phones zoom in`);
  assert.equal(await page.isVisible('.controls'), false, 'there are no controls');
});
