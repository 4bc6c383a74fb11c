/** Switches to another camera, in the session that there is or in a new one. */

import { client, connection, endpoint } from './bootstrap.js';

/** @param {string} name */
export async function selectCamera(name) {
  const address = new URL(location.href);
  address.searchParams.set('camera', name);
  history.replaceState(null, '', address);
  connection.endpoint = endpoint(name);
  if (client.connected) {
    try {
      await client.selectCamera(name);
      return;
    } catch {
      // A new session may succeed where this one cannot: it negotiates the format that the camera delivers.
    }
  }
  connection.restart(endpoint(name));
}
