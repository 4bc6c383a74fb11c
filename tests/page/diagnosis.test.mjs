/**
 * The diagnosis of failed connections, on getStats() reports of real ones from Chromium 156 (evidence/, recorded with the real
 * program: the answer's addresses led to a silent socket, or the browser was started without UDP).
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { module } from './web.mjs';

const { diagnose, isPrivate } = await module('diagnosis.js');
const recorded = (name) => JSON.parse(readFileSync(new URL(`evidence/${name}.json`, import.meta.url)));

const HOME = '192.168.1.5:8080';

/** The evidence as if the board had offered other candidates. */
const offering = (evidence, ...offered) => ({ ...evidence, offered, pairs: [] });
const udp = (address) => ({ protocol: 'udp', address, port: 8189, type: 'host' });

test('reports blocked UDP with the port to open', () => {
  const evidence = recorded('udp-blocked');
  const [{ port }] = evidence.offered;
  const [{ sent }] = evidence.pairs;
  const { title, text, steps, tried } = diagnose(evidence, HOME);
  assert.equal(title, 'UDP seems to be blocked');
  assert.match(text, new RegExp(`nothing comes back from 127\\.0\\.0\\.1:${port}\\. A firewall`));
  assert.match(steps[0], new RegExp(`UDP port ${port} through the firewall`));
  assert.match(steps[1], /tcp = true in the \[rtc\] section/);
  assert.match(steps[2], /TURN server to ice_servers/);
  assert.deepEqual(tried, [`UDP to 127.0.0.1:${port}: ${sent} checks sent, no response`]);
});

test('reports TCP that did not connect either', () => {
  const { title, text, steps, tried } = diagnose(recorded('udp-blocked-tcp-refused'), HOME);
  assert.equal(title, 'UDP seems to be blocked');
  assert.match(text, /TCP did not connect either/);
  assert.match(steps[1], /Allow TCP port .*9 as well/);
  assert.equal(tried[1], 'TCP to 127.0.0.1:9: not connected');
});

test('does not mistake a browser without UDP for a firewall', () => {
  const { title, steps } = diagnose(recorded('no-udp'), HOME);
  assert.equal(title, 'This browser does not use UDP');
  assert.match(steps[0], /Allow WebRTC over UDP/);
});

test('distinguishes relays that do not respond, reject the credentials or cannot reach the board', () => {
  const dead = recorded('relay-dead');
  const { steps, tried } = diagnose(dead, HOME);
  const [stun, relay] = dead.servers;
  assert.match(steps.at(-1), new RegExp(`No response from the relay ${relay.replace('?', '\\?')} and `));
  assert.ok(tried.includes(`${stun}: no response`), tried);

  const errors = [{ url: relay.replace(/\?.*/, ''), code: 401, text: 'Unauthorized' }];
  const refused = diagnose({ ...dead, errors }, HOME);
  assert.match(refused.steps.at(-1), /Credentials rejected by the relay .*: check username, credential or secret/);
  assert.ok(refused.tried.includes(`${relay}: Unauthorized (401)`), refused.tried);

  const locals = [...dead.locals, { type: 'relay', protocol: 'udp', address: '203.0.113.9', port: 50000, url: relay }];
  assert.match(diagnose({ ...dead, locals }, HOME).steps.at(-1), /The board was not reached through the relay/);
});

test('suggests port forwarding and advertise when a public page is offered private addresses', () => {
  const evidence = offering(recorded('udp-blocked'), udp('192.168.1.5'), udp('fd00::5'));
  for (const [host, name] of [['203.0.113.5:8080', '203.0.113.5'], ['cam.example.org', 'cam.example.org'], ['[2001:db8::1]:8080', '2001:db8::1']]) {
    const { title, text, steps } = diagnose(evidence, host);
    assert.equal(title, 'The board offers only private addresses');
    assert.match(text, /192\.168\.1\.5:8189 and \[fd00::5\]:8189/);
    assert.match(steps[0], /Forward UDP port 8189/);
    assert.ok(steps[1].includes(`advertise = ["${name}"]`), steps[1]);
  }
  for (const host of [HOME, 'board.local', 'board', 'localhost:8080', '[fd00::5]:8080', '100.64.1.2']) {
    assert.notEqual(diagnose(evidence, host).title, 'The board offers only private addresses', host);
  }
  assert.notEqual(
    diagnose(offering(evidence, udp('192.168.1.5'), udp('203.0.113.5')), '203.0.113.5').title,
    'The board offers only private addresses');
});

test('reports missing addresses, answered checks and candidates without a pair', () => {
  const evidence = recorded('udp-blocked');
  assert.equal(diagnose(offering(evidence), HOME).title, 'The board offered no address');
  const answered = { ...evidence, pairs: evidence.pairs.map((pair) => ({ ...pair, answered: 3 })) };
  assert.match(diagnose(answered, HOME).title, /^The board was reached/);
  assert.match(diagnose(answered, HOME).tried[0], /3 answered$/);
  const { text, tried } = diagnose(offering(evidence, udp('2001:db8::1')), HOME);
  assert.match(text, /None of this device’s addresses can connect to the board’s: \[2001:db8::1\]:8189/);
  assert.deepEqual(tried, ['UDP to [2001:db8::1]:8189: not tried']);
});

test('tells private addresses from public ones', () => {
  for (const address of ['10.1.2.3', '127.0.0.1', '172.16.0.1', '172.31.255.1', '192.168.0.1', '169.254.1.1', '100.64.0.1', '100.127.9.9', '::1', 'fe80::1', 'fd12::1', 'a-b.local']) {
    assert.equal(isPrivate(address), true, address);
  }
  for (const address of ['203.0.113.5', '172.32.0.1', '100.128.0.1', '11.0.0.1', '2001:db8::1', 'cam.example.org']) {
    assert.equal(isPrivate(address), false, address);
  }
});
