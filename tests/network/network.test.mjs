/**
 * The networks in which a browser has to see the picture, with namespaces for hosts, Chromium for the viewer and the
 * page as it is. Each scenario also looks at which way the pictures take: a path that should not be there would hide
 * that the one under test does not work.
 */

import assert from 'node:assert/strict';

import { HTTP, MEDIA, scenario } from './scenario.mjs';

scenario('in the same network', async (lab) => {
  const lan = lab.network();
  const board = lab.host('board').plug(lan, '192.168.1.10/24').route('192.168.1.1');
  const home = lab.host('home').plug(lan, '192.168.1.20/24').route('192.168.1.1');
  await lab.board(board);

  const viewer = await lab.viewer(home, `http://192.168.1.10:${HTTP}/`);
  await viewer.watches();
  const { remote } = await viewer.pair();
  assert.deepEqual([remote.protocol, remote.address], ['udp', '192.168.1.10']);
});

scenario('without IPv4', async (lab) => {
  const lan = lab.network();
  const board = lab.host('board').plug(lan, '2001:db8:1::10/64').route('2001:db8:1::1');
  const home = lab.host('home').plug(lan, '2001:db8:1::20/64').route('2001:db8:1::1');
  await lab.board(board);

  // Chromium hides its addresses behind names of multicast DNS, for which it cannot open a socket where no interface has
  // an IPv4 address (it binds ff02::fb without a scope), and then it offers nothing at all.
  const args = ['--disable-features=WebRtcHideLocalIpsWithMdns'];
  const viewer = await lab.viewer(home, `http://[2001:db8:1::10]:${HTTP}/`, args);
  await viewer.watches();
  const { remote } = await viewer.pair();
  assert.deepEqual([remote.protocol, remote.address], ['udp', '2001:db8:1::10']);
});

scenario('on one of the three networks of the board', async (lab) => {
  const [wired, wireless, service] = [lab.network(), lab.network(), lab.network()];
  const board = lab.host('board').plug(wired, '10.0.1.10/24').plug(wireless, '10.0.2.10/24').plug(service, '10.0.3.10/24');
  board.route('10.0.1.254');
  const home = lab.host('home').plug(service, '10.0.3.20/24').route('10.0.3.254');
  // It leads to the page through another of the board's networks, so that the page's address tells the board nothing.
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
