/**
 * The page behind a real nginx that terminates TLS and adds a path prefix, as documented. nginx runs as an ordinary user with
 * its own configuration and files.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { launch } from './browser.mjs';
import { CONFIG, SOON, announced, click, open, playing, start } from './page.mjs';
import { freePort } from './ports.mjs';

/** For nginx to accept connections on a busy machine. */
const START_DEADLINE_MS = 20_000;

/** The name of the proxy. */
const NAME = 'cam.example.org';

/** The nginx location of docs/reverse-proxy.md, for a board on this port. */
function documented(board) {
  const text = readFileSync(new URL('../../docs/reverse-proxy.md', import.meta.url), 'utf8');
  const [, found] = text.match(/```nginx\n([^]*?)```/) ?? [];
  assert.ok(found?.includes('127.0.0.1:8080'), 'docs/reverse-proxy.md has an nginx location');
  return found.replace('127.0.0.1:8080', `127.0.0.1:${board}`);
}

/** The documented nginx configuration, plus what the test needs around it. */
const configuration = (directory, port, board) => `
daemon off;
master_process off;
pid ${directory}/pid;
error_log stderr warn;
events {}
http {
  access_log ${directory}/access.log;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  server {
    listen 127.0.0.1:${port} ssl;
    server_name ${NAME};
    ssl_certificate ${directory}/cert.pem;
    ssl_certificate_key ${directory}/key.pem;
    ${documented(board)}
  }
}
`;

/** Starts nginx in front of a board; stopped after the test. */
async function proxy(t, board) {
  const directory = mkdtempSync(join(tmpdir(), 'porthole-nginx-'));
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${NAME}`,
    '-keyout', join(directory, 'key.pem'), '-out', join(directory, 'cert.pem'),
  ], { stdio: 'pipe' });
  const port = await freePort();
  const file = join(directory, 'nginx.conf');
  writeFileSync(file, configuration(directory, port, board));
  // Debian installs it outside the PATH of ordinary users.
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  const child = spawn('nginx', ['-p', directory, '-c', file], { stdio: ['ignore', 'ignore', 'pipe'], env });
  let log = '';
  child.stderr.on('data', (text) => (log += text));
  const failed = once(child, 'error').then(([error]) => Promise.reject(error));
  const ended = Promise.race([failed, once(child, 'exit')]);
  t.after(async () => {
    child.kill('SIGTERM');
    await ended.catch(() => {});
    rmSync(directory, { recursive: true });
  });
  const listening = async () => {
    const deadline = performance.now() + START_DEADLINE_MS;
    while (performance.now() < deadline) {
      const socket = connect(port, '127.0.0.1');
      const up = await new Promise((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)));
      socket.destroy();
      if (up) return;
    }
    throw new Error(`nginx took no connection within ${START_DEADLINE_MS / 1000} s`);
  };
  await Promise.race([
    listening(),
    ended.then(([code]) => Promise.reject(new Error(`nginx ended with ${code}`))),
  ]).catch((cause) => Promise.reject(new Error(`nginx: ${cause.message}\n${log}`, { cause })));
  return port;
}

test('behind nginx with TLS and a path prefix, signing in and watching work, and hanging up frees the session', async (t) => {
  const program = await start(t, {
    config: `${CONFIG}\n[http]\nhosts = ["${NAME}"]\ntrusted_proxies = ["127.0.0.1"]\n[auth]\nmode = "password"\n`,
    passwords: { viewer: 'behind the proxy' },
  });
  const port = await proxy(t, program.port);
  const browser = await launch([`--host-resolver-rules=MAP ${NAME} 127.0.0.1`]);
  t.after(() => browser.close());
  const page = await open(t, 'about:blank', undefined, { browser, ignoreHTTPSErrors: true });
  const base = `https://${NAME}:${port}/cam/`;
  await page.goto(base);
  await page.fill('#password', 'behind the proxy', SOON);
  await page.click('#sign-in [type=submit]');
  await playing(page);
  const [cookie] = await page.context().cookies();
  assert.deepEqual(
    { name: cookie.name.replace(/_[0-9a-f]{8}$/, '_ID'), secure: cookie.secure, httpOnly: cookie.httpOnly, sameSite: cookie.sameSite },
    { name: 'porthole_session_ID', secure: true, httpOnly: true, sameSite: 'Strict' });

  const ended = page.waitForResponse((response) => response.request().method() === 'DELETE', SOON);
  await click(page, '#hang-up');
  const response = await ended;
  // The end of the connection may arrive first, and ends the session.
  assert.ok([200, 404].includes(response.status()), `${response.status()}`);
  assert.ok(response.url().startsWith(`${base}whep/session/`), response.url());
  await announced(page, /^Stopped/);
  const { viewers } = await page.evaluate(async () => (await fetch('api/status')).json());
  assert.equal(viewers, 0);
  assert.deepEqual(page.requests.filter((url) => !url.startsWith(base)), [], 'nothing is requested outside the prefix');
});
