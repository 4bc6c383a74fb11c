/**
 * The first thing that the page does: the offer for a picture is on its way while what shows it is still being loaded. What is
 * shown does not belong here, and neither does anything that would have to be loaded for it.
 */

import { takeSignInToken } from './auth.js';
import { Connection } from './connection.js';
import { Control } from './control.js';
import { BoardClient } from './board-client.js';

/** What signs in, where this page was opened by such a link: until it is used nobody is let in. */
export const signInToken = takeSignInToken();

/** The camera requestedCamera for by the address, null for the first. */
export const requestedCamera = new URLSearchParams(location.search).get('camera');

/**
 * Where a picture of this camera is requestedCamera for.
 * @param {string | null} camera Null: the first.
 */
export function endpoint(camera) {
  const path = camera === null ? 'whep' : `whep/${encodeURIComponent(camera)}`;
  return new URL(path, document.baseURI);
}

export const connection = new Connection(endpoint(requestedCamera));

/** Listens from the first message on: what the board tells in the beginning it does not tell twice. */
export const client = new BoardClient();
connection.addEventListener('session', () => {
  const channel = connection.session?.channel;
  if (channel) client.attach(new Control(channel));
});

if (signInToken === null) connection.start();
