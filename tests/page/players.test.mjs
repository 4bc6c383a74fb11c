/**
 * Players of other projects, replayed in a real browser: what Mainsail, Fluidd and mediamtx's reader send, as their sources have
 * it, and camera-streamer's signalling. That the answers are the right ones is tested in `tests/whep_clients.rs`.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DESKTOP, SOON, eventually, open, start, viewers } from './page.mjs';

/** A page at the address of the board that has nothing but a video, for a player. */
async function blank(t, program) {
  const page = await open(t, 'about:blank', DESKTOP);
  await page.route('**/player', (route) => route.fulfill({ contentType: 'text/html', body: '<video muted autoplay playsinline></video>' }));
  await page.goto(`${program.url}player`);
  return page;
}

/** Waits until nobody is left, and neither camera nor microphone is open. */
const idle = (program, deadline = SOON) => eventually(() => program.status(), ({ viewers, cameras, audio }) =>
  viewers === 0 && cameras[0].state === 'idle' && audio.state === 'idle', 'the board should be idle', deadline);

/** Waits until the video shows the board's pattern. */
async function shown(page) {
  await page.waitForFunction(() => blockCode.read(document.querySelector('video')) !== null, null, SOON);
  const first = await page.evaluate(() => blockCode.read(document.querySelector('video')).frame);
  await page.waitForFunction((first) => blockCode.read(document.querySelector('video'))?.frame > first + 10, first, SOON);
}

/** Waits until sound was received and played. */
const heard = (page) => page.waitForFunction(async () => {
  const reports = [...(await globalThis.peer.getStats()).values()];
  const audio = reports.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
  return audio?.packetsReceived > 20 && audio.jitterBufferEmittedCount > 0;
}, null, SOON);

/** Mainsail's player for mediamtx: the ICE servers come from OPTIONS, the session is below the endpoint. */
async function whep({ star, sendrecv }) {
  const status = [];
  const call = async (url, options) => {
    const response = await fetch(url, options);
    status.push(`${options.method} ${response.status}`);
    return response;
  };
  const url = `${location.origin}/whep`;
  const links = (await call(url, { method: 'OPTIONS' })).headers.get('Link');
  const urls = links === null ? [] : links.split(', ').map((link) => /^<(.+?)>; rel="ice-server"/i.exec(link)[1]);
  const peer = (globalThis.peer = new RTCPeerConnection({ iceServers: urls.map((url) => ({ urls: [url] })) }));
  for (const kind of ['video', 'audio']) peer.addTransceiver(kind, { direction: sendrecv ? 'sendrecv' : 'recvonly' });
  peer.addEventListener('track', ({ streams }) => (document.querySelector('video').srcObject = streams[0]));
  const queued = [];
  let send = ({ candidate }) => candidate && queued.push(candidate);
  peer.addEventListener('icecandidate', (event) => send(event));
  const offer = await peer.createOffer();
  const response = await call(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer.sdp });
  await peer.setLocalDescription(offer);
  const session = `${url}/${response.headers.get('Location').split('/').at(-1)}`;
  const etag = star ? '*' : response.headers.get('ETag');
  const line = (name) => offer.sdp.split('\r\n').find((line) => line.startsWith(name));
  const media = offer.sdp.split('\r\n').filter((line) => line.startsWith('m='));
  send = async ({ candidate }) => {
    if (!candidate) return;
    const body = [line('a=ice-ufrag:'), line('a=ice-pwd:'), media[candidate.sdpMLineIndex], `a=mid:${candidate.sdpMLineIndex}`, `a=${candidate.candidate}`, ''];
    const headers = { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': etag };
    await call(session, { method: 'PATCH', headers, body: body.join('\r\n') });
  };
  await peer.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  await Promise.all(queued.map((candidate) => send({ candidate })));
  globalThis.leave = async () => {
    peer.close();
    await call(session, { method: 'DELETE' });
    return status;
  };
}

for (const [name, how] of [
  ['mediamtx’s reader and Fluidd', { star: true, sendrecv: false }],
  ['Mainsail', { star: false, sendrecv: true }],
]) {
  test(`${name} play, leave nothing, and play again`, async (t) => {
    const program = await start(t);
    const page = await blank(t, program);
    for (let round = 0; round < 2; round += 1) {
      await page.evaluate(whep, how);
      await shown(page);
      await heard(page);
      const status = await page.evaluate(() => globalThis.leave());
      const [last, ...before] = [...new Set(status)].sort();
      // The end of the connection may arrive first, and ends the session.
      assert.ok(last === 'DELETE 200' || last === 'DELETE 404', last);
      assert.deepEqual(before, ['OPTIONS 204', 'PATCH 204', 'POST 201']);
      await idle(program);
    }
    // One whose page is closed sends nothing any more.
    await page.evaluate(whep, how);
    await shown(page);
    await page.goto('about:blank');
    await idle(program, { timeout: 40_000 });
  });
}

/** A player for camera-streamer: it asks for an offer, answers it, and posts its candidates. */
async function cameraStreamer() {
  const post = async (message, headers = { 'Content-Type': 'application/json' }) => {
    const response = await fetch('/webrtc', { method: 'POST', headers, body: JSON.stringify(message) });
    if (response.status !== 200) throw new Error(`${message.type}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  // The first message goes out as text.
  const offer = await post({ type: 'request', iceServers: null }, {});
  const peer = (globalThis.peer = new RTCPeerConnection({ iceServers: offer.iceServers }));
  peer.addTransceiver('video', { direction: 'recvonly' });
  peer.addEventListener('track', ({ track, streams }) => track.kind === 'video' && (document.querySelector('video').srcObject = streams[0]));
  const sent = [];
  peer.addEventListener('icecandidate', ({ candidate }) => candidate && sent.push(candidate));
  await peer.setRemoteDescription(offer);
  await peer.setLocalDescription(await peer.createAnswer());
  await post({ type: peer.localDescription.type, id: offer.id, sdp: peer.localDescription.sdp });
  for (const candidate of sent) await post({ type: 'remote_candidate', id: offer.id, candidates: [candidate] });
}

test('players for camera-streamer play, leave nothing, and play again', async (t) => {
  const program = await start(t);
  const page = await blank(t, program);
  for (let round = 0; round < 2; round += 1) {
    await page.evaluate(cameraStreamer);
    await shown(page);
    await heard(page);
    await viewers(page, program, 1);
    await page.evaluate(() => globalThis.peer.close());
    await idle(program, { timeout: 40_000 });
  }
});

test('players for camera-streamer show nothing of the camera while the privacy switch is on', async (t) => {
  const program = await start(t);
  const page = await blank(t, program);
  const privacy = (on) => page.evaluate(async (on) => {
    const body = JSON.stringify({ id: 1, method: 'privacy.set', params: { on } });
    const response = await fetch('/api/command', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
    return (await response.json()).result.on;
  }, on);
  await page.evaluate(cameraStreamer);
  await shown(page);
  assert.equal(await privacy(true), true);
  await page.waitForFunction(() => blockCode.read(document.querySelector('video')) === null, null, SOON);
  await eventually(() => program.status(), ({ cameras }) => cameras[0].state === 'idle', 'the camera should be closed');
  assert.equal(await privacy(false), false);
  await shown(page);
});
