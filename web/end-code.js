/** How a session ends, and why the board ends it, by the last message on its control channel. */

/** @import { WhepError } from './signalling.js' */

/** A connected session has ended. Dispatched once, and not after `close()`. */
export class EndEvent extends Event {
  /** @param {WhepError} error */
  constructor(error) {
    super('end');
    this.error = error;
  }
}

/**
 * The `code` of a `session.end` event, empty if it has none; null if the message is something else.
 * @param {unknown} data
 */
export function endCode(data) {
  // Every message passes through here, snapshots too: only a possible match is parsed.
  if (typeof data !== 'string' || !data.includes('session.end')) return null;
  try {
    const { method, params } = JSON.parse(data);
    return method === 'session.end' ? String(params?.code ?? '') : null;
  } catch {
    return null;
  }
}
