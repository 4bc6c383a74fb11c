/**
 * Leads TCP connections from one port of this host to the same port of another, like a forwarding router or a proxy
 * that looks at nothing. Runs by itself on a host of the lab.
 *
 *     node forwarder.mjs PORT ADDRESS
 */

import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream';

const [port, address] = process.argv.slice(2);

createServer((near) => {
  const far = connect(Number(port), address);
  // A broken half ends the other; who it was for notices that itself.
  pipeline(near, far, () => {});
  pipeline(far, near, () => {});
}).listen(Number(port), () => console.log(`forwards port ${port} to ${address}`));
