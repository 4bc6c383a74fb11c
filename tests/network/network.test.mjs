/**
 * The networks in which video must reach a browser, with namespaces as hosts and the real page in Chromium. Each scenario also
 * checks which path the media takes: an unexpected path would hide that the one under test does not work.
 */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';

import { HTTP, MEDIA, NO_UDP, scenario } from './scenario.mjs';
import { NAME as TURN, SECRET, turnServer } from './turn.mjs';

/** Debian's Python, for which Debian's packages are built. */
const WHEP_VIEWER = fileURLToPath(new URL('whep_viewer.py', import.meta.url));

/** A NAT router in front of the board: only these ports of `outside` are forwarded to it. */
const nat = (board, outside, ports) => `
table ip nat {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ${ports.map(([kind, from, to]) => `ip daddr ${outside} ${kind} dport ${from} dnat to ${board}:${to}`).join('\n')}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr ${board} snat to ${outside}
  }
}`;

scenario('on the same network', async (lab) => {
  const lan = lab.network();
  const board = lab.host('board').plug(lan, '192.168.1.10/24').route('192.168.1.1');
  const home = lab.host('home').plug(lan, '192.168.1.20/24').route('192.168.1.1');
  await lab.board(board);

  const viewer = await lab.viewer(home, `http://192.168.1.10:${HTTP}/`);
  await viewer.watches();
  const { remote } = await viewer.pair();
  assert.deepEqual([remote.protocol, remote.address], ['udp', '192.168.1.10']);
});

scenario('on the same network, with another WebRTC stack', async (lab) => {
  const lan = lab.network();
  const board = lab.host('board').plug(lan, '192.168.1.10/24');
  const home = lab.host('home').plug(lan, '192.168.1.20/24');
  await lab.board(board);
  await home.complete('/usr/bin/python3', WHEP_VIEWER, `http://192.168.1.10:${HTTP}/`);
});

scenario('from outside, through a router that forwards the port', async (lab) => {
  const [inside, outside] = [lab.network(), lab.network()];
  const board = lab.host('board').plug(inside, '192.168.1.10/24').route('192.168.1.1');
  const ports = [['tcp', HTTP, HTTP], ['udp', MEDIA, MEDIA], ['tcp', MEDIA, MEDIA]];
  lab.host('router').plug(inside, '192.168.1.1/24').plug(outside, '203.0.113.5/24').forward(nat('192.168.1.10', '203.0.113.5', ports));
  const away = lab.host('away').plug(outside, '203.0.113.20/24').route('203.0.113.254');
  await lab.board(board, { rtc: 'advertise = ["203.0.113.5"]' });

  const viewer = await lab.viewer(away, `http://203.0.113.5:${HTTP}/`);
  await viewer.watches();
  const { remote } = await viewer.pair();
  assert.deepEqual([remote.protocol, remote.address, remote.port], ['udp', '203.0.113.5', MEDIA]);
});

scenario('from outside, by name and on other ports, without UDP', async (lab) => {
  const [inside, outside] = [lab.network(), lab.network()];
  const board = lab.host('board').plug(inside, '192.168.1.10/24').route('192.168.1.1');
  const ports = [['tcp', 80, HTTP], ['udp', 40000, MEDIA], ['tcp', 40000, MEDIA]];
  const router = lab.host('router').plug(inside, '192.168.1.1/24').plug(outside, '203.0.113.5/24');
  router.forward(nat('192.168.1.10', '203.0.113.5', ports)).filter(NO_UDP);
  const away = lab.host('away').plug(outside, '203.0.113.20/24').route('203.0.113.254');
  lab.names({ 'cam.lab': '203.0.113.5' });
  await lab.board(board, { rtc: 'advertise = ["cam.lab:40000"]', http: 'hosts = ["cam.lab"]' });

  const viewer = await lab.viewer(away, 'http://cam.lab/');
  await viewer.watches();
  const { remote } = await viewer.pair();
  assert.deepEqual([remote.protocol, remote.address, remote.port], ['tcp', '203.0.113.5', 40000]);
});

scenario('without UDP', async (lab) => {
  const [near, far] = [lab.network(), lab.network()];
  const board = lab.host('board').plug(near, '192.168.1.10/24').route('192.168.1.1');
  lab.host('router').plug(near, '192.168.1.1/24').plug(far, '192.168.2.1/24').forward(NO_UDP);
  const office = lab.host('office').plug(far, '192.168.2.20/24').route('192.168.2.1');
  await lab.board(board);

  const viewer = await lab.viewer(office, `http://192.168.1.10:${HTTP}/`);
  await viewer.watches();
  const { local, remote } = await viewer.pair();
  assert.deepEqual([local.tcpType, remote.protocol, remote.address, remote.port], ['active', 'tcp', '192.168.1.10', MEDIA]);
});

for (const [protocol, url] of [
  ['udp', 'turn:198.51.100.1:3478?transport=udp'],
  ['tcp', 'turn:198.51.100.1:3478?transport=tcp'],
  ['tls', `turns:${TURN}:5349?transport=tcp`],
]) {
  scenario(`relayed over ${protocol.toUpperCase()}, where nothing else connects`, async (lab) => {
    const [near, far] = [lab.network(), lab.network()];
    const board = lab.host('board').plug(near, '192.168.1.10/24').route('192.168.1.254');
    const away = lab.host('away').plug(far, '198.51.100.20/24').route('198.51.100.254');
    // The relay is on both networks and forwards no packets; with TCP and TLS it also drops UDP from the far side.
    const relay = lab.host('relay').plug(near, '192.168.1.1/24').plug(far, '198.51.100.1/24');
    if (protocol !== 'udp') relay.filter(NO_UDP.replaceAll('forward', 'input').replace('meta l4proto udp', 'iifname eth1 meta l4proto udp'));
    lab.names({ [TURN]: '198.51.100.1' });
    const trusts = await turnServer(lab, relay, '198.51.100.1', '192.168.1.1');
    await lab.forwarder(relay, HTTP, '192.168.1.10');
    await lab.board(board, { rtc: `ice_servers = [{ urls = ["${url}"], secret = "${SECRET}" }]` });

    const viewer = await lab.viewer(away, `http://198.51.100.1:${HTTP}/`, trusts);
    await viewer.watches();
    const { local, remote } = await viewer.pair();
    assert.deepEqual([local.type, local.relayProtocol, remote.address], ['relay', protocol, '192.168.1.10']);
  });
}

scenario('without IPv4', async (lab) => {
  const lan = lab.network();
  const board = lab.host('board').plug(lan, '2001:db8:1::10/64').route('2001:db8:1::1');
  const home = lab.host('home').plug(lan, '2001:db8:1::20/64').route('2001:db8:1::1');
  await lab.board(board);

  // Chromium hides its addresses behind mDNS names. Without an IPv4 address on any interface it cannot open the mDNS socket (it
  // binds ff02::fb without a scope), and then it offers nothing at all.
  const args = ['--disable-features=WebRtcHideLocalIpsWithMdns'];
  const viewer = await lab.viewer(home, `http://[2001:db8:1::10]:${HTTP}/`, args);
  await viewer.watches();
  const { remote } = await viewer.pair();
  assert.deepEqual([remote.protocol, remote.address], ['udp', '2001:db8:1::10']);
});

scenario('on one of the board’s three networks', async (lab) => {
  const [wired, wireless, service] = [lab.network(), lab.network(), lab.network()];
  const board = lab.host('board').plug(wired, '10.0.1.10/24').plug(wireless, '10.0.2.10/24').plug(service, '10.0.3.10/24');
  board.route('10.0.1.254');
  const home = lab.host('home').plug(service, '10.0.3.20/24').route('10.0.3.254');
  // The proxy reaches the board through another network, so the page's address tells the board nothing.
  const proxy = lab.host('proxy').plug(wired, '10.0.1.1/24').plug(service, '10.0.3.1/24');
  await lab.forwarder(proxy, HTTP, '10.0.1.10');
  await lab.board(board);

  for (const address of ['10.0.3.10', '10.0.3.1']) {
    const viewer = await lab.viewer(home, `http://${address}:${HTTP}/`);
    await viewer.watches();
    const { remote } = await viewer.pair();
    assert.deepEqual([remote.protocol, remote.address], ['udp', '10.0.3.10'], `with the page from ${address}`);
  }
});

for (const [how, name] of [['under a name that follows', 'board.lab'], ['that stays away', '192.168.1.10']]) {
  scenario(`the board’s address changes, with the page ${how}`, async (lab) => {
    const lan = lab.network();
    const board = lab.host('board').plug(lan, '192.168.1.10/24').route('192.168.1.1');
    const home = lab.host('home').plug(lan, '192.168.1.20/24').route('192.168.1.1');
    lab.names({ 'board.lab': '192.168.1.10' });
    await lab.board(board, { http: 'hosts = ["board.lab"]' });
    const viewer = await lab.viewer(home, `http://${name}:${HTTP}/`);
    await viewer.watches();

    lab.names({ 'board.lab': '192.168.1.11' });
    board.readdress('eth0', '192.168.1.10/24', '192.168.1.11/24').route('192.168.1.1');
    const changed = performance.timeOrigin + performance.now();
    const { shown } = await viewer.watches(changed);
    const { remote } = await viewer.pair();
    // Browsers do not report peer-reflexive addresses; no other address is left.
    assert.equal(remote.protocol, 'udp');
    assert.ok(remote.type === 'prflx' || remote.address === '192.168.1.11', JSON.stringify(remote));
    assert.ok(shown - changed < 5_000, `the video resumed after ${shown - changed} ms`);
    assert.equal(await viewer.sessions(), 1, 'the page started another session');
  });
}
