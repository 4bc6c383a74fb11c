/**
 * Forwards TCP connections from a port of this host to the same port of another, like a router or a proxy that does not look
 * inside. Runs as a process of its own on a host of the lab.
 *
 *     node forwarder.mjs PORT ADDRESS
 */

import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream';

const [port, address] = process.argv.slice(2);

createServer((near) => {
  const far = connect(Number(port), address);
  // An error on one side ends the other, which notices that itself.
  pipeline(near, far, () => {});
  pipeline(far, near, () => {});
}).listen(Number(port), () => console.log(`forwards port ${port} to ${address}`));
