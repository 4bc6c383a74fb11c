/** Parsing and writing of headers and session descriptions. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { module } from './web.mjs';

const { iceServers, parseLinks } = await module('link-header.js');
const { applyIceRestart, remoteCandidates, sdpFragment } = await module('sdp.js');
const { askForStereo } = await module('receiver-hints.js');

test('STUN and TURN servers are read from one Link header or many', () => {
  const header = '<stun:stun.example.net>; rel="ice-server", ' +
    '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="1700000000:ab\\"c"; credential="p,a;s<s>"; credential-type="password", ' +
    '<turns:turn.example.net:5349?transport=tcp>;rel=ice-server;username=user;credential=word';
  assert.deepEqual(iceServers(header), [
    { urls: 'stun:stun.example.net' },
    { urls: 'turn:turn.example.net?transport=udp', username: '1700000000:ab"c', credential: 'p,a;s<s>' },
    { urls: 'turns:turn.example.net:5349?transport=tcp', username: 'user', credential: 'word' },
  ]);
});

test('other links and unusable servers are skipped', () => {
  const unusable = [
    null,
    '',
    'nonsense',
    '<stun:a.example>',
    '<stun:a.example>; rel="next"',
    '<https://a.example>; rel="ice-server"',
    '<turn:a.example>; rel="ice-server"',
    '<turn:a.example>; rel="ice-server"; username="a"; credential="b"; credential-type="oauth"',
    '<stun:a.example; rel="ice-server"',
    '<',
    '<<<>>>; ; =; "',
  ];
  for (const header of unusable) assert.deepEqual(iceServers(header), [], header);
  const good = { urls: 'stun:b.example' };
  assert.deepEqual(iceServers('<https://a.example>; rel=x; title="<, >", nonsense, <stun:b.example>; REL="Other Ice-Server"'), [good]);
  assert.deepEqual(parseLinks('<a>; rel=one; rel=two')[0].parameters.get('rel'), 'one', 'the first of two counts');
});

const ANSWER = [
  'v=0', 'o=- 1 1 IN IP4 0.0.0.0', 's=-', 't=0 0', 'a=group:BUNDLE 0 1',
  'm=video 9 UDP/TLS/RTP/SAVPF 102', 'c=IN IP4 0.0.0.0', 'a=mid:0', 'a=ice-ufrag:old1', 'a=ice-pwd:oldoldoldoldoldoldoldold',
  'a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host', 'a=candidate:2 1 tcp 1671430143 2001:db8::1 8189 typ host tcptype passive',
  'a=end-of-candidates', 'a=sendonly',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'c=IN IP4 0.0.0.0', 'a=mid:1', 'a=ice-ufrag:old1',
  'a=ice-pwd:oldoldoldoldoldoldoldold', 'a=sctp-port:5000', '',
].join('\r\n');

test('an ICE restart keeps the first answer with new credentials and candidates', () => {
  const fragment = 'a=ice-ufrag:new2\r\na=ice-pwd:newnewnewnewnewnewnewnew\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:0\r\n' +
    'a=candidate:3 1 udp 2130706431 198.51.100.1 8189 typ host\r\na=end-of-candidates\r\n';
  const answer = applyIceRestart(ANSWER, fragment);
  assert.equal(answer.match(/a=ice-ufrag:new2\r\n/g).length, 2);
  assert.equal(answer.match(/a=ice-pwd:newnewnewnewnewnewnewnew\r\n/g).length, 2);
  assert.doesNotMatch(answer, /old/);
  assert.deepEqual(remoteCandidates(answer), [{ protocol: 'udp', address: '198.51.100.1', port: 8189, type: 'host' }]);
  assert.ok(answer.indexOf('198.51.100.1') < answer.indexOf('m=application'), 'they are in the first section');
  assert.ok(answer.endsWith('a=sctp-port:5000\r\n'));
  assert.equal(applyIceRestart(ANSWER, 'a=mid:0\r\n'), null, 'a fragment without credentials is rejected');
  assert.equal(applyIceRestart('', fragment), null);
});

test('candidates are read from an answer and written into a fragment', () => {
  assert.deepEqual(remoteCandidates(ANSWER).map(({ protocol, address }) => `${protocol} ${address}`), ['udp 192.0.2.1', 'tcp 2001:db8::1']);
  assert.equal(
    sdpFragment(ANSWER, ['candidate:9 1 udp 1 192.0.2.9 9 typ host'], true),
    'a=ice-ufrag:old1\r\na=ice-pwd:oldoldoldoldoldoldoldold\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:0\r\n' +
      'a=candidate:9 1 udp 1 192.0.2.9 9 typ host\r\na=end-of-candidates\r\n');
});

test('stereo is asked for once, of Opus alone', () => {
  const sdp = (fmtp) => `m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 ${fmtp}\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n`;
  for (const [offered, asked] of [
    ['minptime=10;useinbandfec=1', 'minptime=10;useinbandfec=1;stereo=1'],
    ['maxplaybackrate=48000;stereo=1;useinbandfec=1', 'maxplaybackrate=48000;stereo=1;useinbandfec=1'],
    ['stereo=0', 'stereo=0'],
    ['sprop-stereo=0', 'sprop-stereo=0;stereo=1'],
  ]) {
    assert.deepEqual(askForStereo({ type: 'offer', sdp: sdp(offered) }), { type: 'offer', sdp: sdp(asked) });
  }
});
