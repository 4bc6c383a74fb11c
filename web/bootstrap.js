/**
 * The first thing that the page does: the offer for a picture is on its way while what shows it is still being loaded. What is
 * shown does not belong here, and neither does anything that would have to be loaded for it.
 */

import { takeLink } from './auth.js';
import { Connection } from './connection.js';
import { Control } from './control.js';
import { Viewing } from './board-client.js';

/** What signs in, where this page was opened by such a link: until it is used nobody is let in. */
export const link = takeLink();

/** The camera asked for by the address, null for the first. */
export const asked = new URLSearchParams(location.search).get('camera');

/**
 * Where a picture of this camera is asked for.
 * @param {string | null} camera Null: the first.
 */
export function endpoint(camera) {
  const path = camera === null ? 'whep' : `whep/${encodeURIComponent(camera)}`;
  return new URL(path, document.baseURI);
}

export const connection = new Connection(endpoint(asked));

/** Listens from the first message on: what the board tells in the beginning it does not tell twice. */
export const viewing = new Viewing();
connection.addEventListener('session', () => {
  const channel = connection.session?.channel;
  if (channel) viewing.join(new Control(channel));
});

if (link === null) connection.start();
