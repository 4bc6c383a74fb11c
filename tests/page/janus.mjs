/**
 * A real SFU for the tests: Debian's Janus, with a WHIP endpoint in front of it, as Janus has none of its own, and the script of a
 * page that watches a room of it. Both are started with settings and ports of their own.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';

import { freePort } from './ports.mjs';

/** For a busy machine. */
const START_DEADLINE_MS = 20_000;

/** Parts of Janus that are not needed, and would take ports or libraries. */
const PLUGINS = 'audiobridge duktape echotest lua nosip recordplay sip streaming textroom videocall voicemail'.split(' ');
const TRANSPORTS = 'mqtt nanomsg pfunix rabbitmq'.split(' ');

export const ROOM = 1234;

/** The address of this machine in its network: Janus uses no loopback. */
function address() {
  const found = Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === 'IPv4' && !internal);
  if (!found) throw new Error('this machine has no network, which Janus needs');
  return found.address;
}

export class Janus {
  log = '';

  /** The sessions of what is published, by the ID in their URLs. @type {Map<string, AbortController>} */
  sessions = new Map();

  /** The URL of its own API. */
  get url() {
    return `http://127.0.0.1:${this.http}/janus`;
  }

  /** Starts Janus and the endpoint; they end after the test. */
  static async start(t, { token }) {
    const janus = new Janus();
    janus.token = token;
    janus.directory = mkdtempSync(join(tmpdir(), 'porthole-janus-'));
    [janus.http, janus.websocket] = [await freePort(), await freePort()];
    janus.#configure();
    t.after(() => janus.#end());
    await janus.run();
    janus.whip = createServer((request, response) => janus.#serve(request, response)).listen(0, address());
    await once(janus.whip, 'listening');
    janus.endpoint = `http://${address()}:${janus.whip.address().port}/whip`;
    return janus;
  }

  #configure() {
    const disabled = (names) => names.map((name) => `libjanus_${name}.so`).join(',');
    const write = (name, text) => writeFileSync(join(this.directory, name), text);
    write('janus.jcfg', `
      general: { debug_level = 4; debug_colors = false }
      nat: { ice_enforce_list = "${address()}" }
      plugins: { disable = "${disabled(PLUGINS)}" }
      transports: { disable = "${disabled(TRANSPORTS)}" }
    `);
    write('janus.transport.http.jcfg', `general: { base_path = "/janus"; http = true; port = ${this.http}; ip = "127.0.0.1"; https = false }`);
    write('janus.transport.websockets.jcfg', `general: { ws = true; ws_port = ${this.websocket}; ws_ip = "127.0.0.1"; wss = false }`);
    write('janus.plugin.videoroom.jcfg', `room-${ROOM}: { description = "cameras"; publishers = 2; audiocodec = "opus"; videocodec = "h264" }`);
  }

  /** Runs Janus until it answers. */
  async run() {
    // It ends with the tests, however they end.
    const command = ['--pdeathsig', 'KILL', 'janus', '--configs-folder', this.directory];
    this.child = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.setEncoding('utf8').on('data', (text) => (this.log += text));
    this.exited = once(this.child, 'exit');
    const deadline = performance.now() + START_DEADLINE_MS;
    while (!(await fetch(`${this.url}/info`).then(({ ok }) => ok, () => false))) {
      if (performance.now() > deadline || this.child.exitCode !== null) throw new Error(`janus does not answer:\n${this.log}`);
      await pause(50);
    }
  }

  /** Kills Janus. */
  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  async #end() {
    try {
      this.sessions.forEach((session) => session.abort());
      this.whip?.close();
      await this.kill();
    } finally {
      rmSync(this.directory, { recursive: true });
    }
  }

  /** Asks Janus for something; its plugins answer with an event. */
  async #ask(path, message, signal) {
    const options = message && { method: 'POST', body: JSON.stringify({ transaction: 'whip', ...message }) };
    const answer = await (await fetch(`${this.url}${path}`, { ...options, signal })).json();
    const error = answer.error ?? answer.plugindata?.data.error;
    if (error) throw new Error(JSON.stringify(error));
    return answer;
  }

  /** The endpoint (RFC 9725): POST publishes to the room, DELETE ends that. */
  async #serve(request, response) {
    const offer = await text(request);
    const reply = (status, headers = {}, body = '') => response.writeHead(status, headers).end(body);
    if (request.headers.authorization !== `Bearer ${this.token}`) return reply(401);
    if (request.method === 'DELETE') {
      const session = this.sessions.get(request.url);
      session?.abort();
      return reply(this.sessions.delete(request.url) ? 200 : 404);
    }
    try {
      const { session, sdp } = await this.#publish(offer);
      const location = `/session/${session}`;
      this.sessions.set(location, this.#hold(session));
      return reply(201, { 'Content-Type': 'application/sdp', Location: location }, sdp);
    } catch (error) {
      return reply(503, {}, error.cause?.code ?? error.message);
    }
  }

  async #publish(sdp) {
    const session = (await this.#ask('', { janus: 'create' })).data.id;
    const handle = (await this.#ask(`/${session}`, { janus: 'attach', plugin: 'janus.plugin.videoroom' })).data.id;
    const body = { request: 'joinandconfigure', ptype: 'publisher', room: ROOM };
    await this.#ask(`/${session}/${handle}`, { janus: 'message', body, jsep: { type: 'offer', sdp } });
    for (;;) {
      const { jsep } = await this.#ask(`/${session}`);
      if (jsep) return { session, sdp: jsep.sdp };
    }
  }

  /** Keeps a session alive by asking for its events, until it is given up. */
  #hold(session) {
    const end = new AbortController();
    const hold = async () => {
      while (!end.signal.aborted) await this.#ask(`/${session}`, undefined, end.signal);
    };
    hold().catch(() => {}).finally(() => this.#ask(`/${session}`, { janus: 'destroy' }).catch(() => {}));
    return end;
  }
}

/**
 * Watches the first publisher of a room, in the page's video; runs inside the page.
 * @param {{port: number, room: number}} options
 */
export async function watch({ port, room }) {
  const janus = new WebSocket(`ws://127.0.0.1:${port}`, 'janus-protocol');
  await new Promise((resolve, reject) => Object.assign(janus, { onopen: resolve, onerror: () => reject(new Error('no WebSocket')) }));
  const waiting = new Map();
  let number = 0;
  janus.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    // Plugins acknowledge a request before they answer it.
    if (message.janus !== 'ack') waiting.get(message.transaction)?.(message);
  };
  const ask = (message) => new Promise((resolve, reject) => {
    const transaction = String(number++);
    waiting.set(transaction, (answer) => {
      const error = answer.error ?? answer.plugindata?.data.error;
      if (error) reject(new Error(JSON.stringify(error)));
      else resolve(answer);
    });
    janus.send(JSON.stringify({ transaction, ...message }));
  });
  const session = (await ask({ janus: 'create' })).data.id;
  const handle = (await ask({ janus: 'attach', session_id: session, plugin: 'janus.plugin.videoroom' })).data.id;
  const request = (body, jsep) => ask({ janus: 'message', session_id: session, handle_id: handle, body, jsep });
  const feed = async () => {
    for (;;) {
      const { participants } = (await request({ request: 'listparticipants', room })).plugindata.data;
      const publisher = participants.find(({ publisher }) => publisher);
      if (publisher) return publisher.id;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const offer = await request({ request: 'join', ptype: 'subscriber', room, streams: [{ feed: await feed() }] });
  const peer = (globalThis.peer = new RTCPeerConnection());
  peer.addEventListener('track', ({ track, streams }) => track.kind === 'video' && (document.querySelector('video').srcObject = streams[0]));
  peer.addEventListener('icecandidate', ({ candidate }) =>
    janus.send(JSON.stringify({ janus: 'trickle', transaction: 'trickle', session_id: session, handle_id: handle, candidate: candidate ?? { completed: true } })));
  await peer.setRemoteDescription(offer.jsep);
  await peer.setLocalDescription(await peer.createAnswer());
  await request({ request: 'start' }, { type: 'answer', sdp: peer.localDescription.sdp });
}
