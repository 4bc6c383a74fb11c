/**
 * Runs first: sends the WHEP offer while the rest of the page is still loading. Nothing that renders belongs here, nor anything
 * that would need more modules.
 */

import { takeSignInToken } from './auth.js';
import { BoardClient } from './board-client.js';
import { Connection } from './connection.js';
import { Control } from './control.js';

/** The token, if the page was opened by a sign-in link. Until it has been used the board denies access. */
export const signInToken = takeSignInToken();

/** The camera named in the address; null for the first. */
export const requestedCamera = new URLSearchParams(location.search).get('camera');

/**
 * The WHEP endpoint of a camera.
 * @param {string | null} camera Null for the first.
 */
export function endpoint(camera) {
  const path = camera === null ? 'whep' : `whep/${encodeURIComponent(camera)}`;
  return new URL(path, document.baseURI);
}

/** What is said and shown to the board needs a microphone and a camera, which browsers grant to pages over HTTPS only. */
const canSend = navigator.mediaDevices !== undefined;
export const connection = new Connection(endpoint(requestedCamera), { talk: canSend, show: canSend });

/** Listens from the first message on: the board sends its initial events only once. */
export const client = new BoardClient();
connection.addEventListener('session', () => {
  const channel = connection.session?.channel;
  if (channel) client.attach(new Control(channel));
});

if (signInToken === null) connection.start();
