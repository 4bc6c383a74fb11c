/**
 * Talking back: opens the microphone, asks the board for the floor, and sends what is said. What the user sees of it, and when
 * they may, is elsewhere.
 */

import { ControlError } from './control.js';
import { Microphone } from './microphone.js';

/** @import { BoardClient } from './board-client.js' */
/** @import { Connection } from './connection.js' */
/** @import { BoardEvent } from './control.js' */

/** Why talking failed, by the error's code in the control protocol. @type {Record<number, TalkFailure>} */
const BOARD_FAILURES = { [-32_000]: 'forbidden', [-32_002]: 'taken', [-32_003]: 'refused' };

/** Why talking failed, by the name of the browser's exception. @type {Record<string, TalkFailure>} */
const MICROPHONE_FAILURES = { NotAllowedError: 'denied', SecurityError: 'denied', NotFoundError: 'none', OverconstrainedError: 'none' };

/**
 * @typedef {'idle' | 'starting' | 'talking'} TalkState
 * `starting`: the user or the board has not agreed yet.
 *
 * @typedef {'denied' | 'none' | 'microphone' | 'taken' | 'forbidden' | 'refused' | 'ended'} TalkFailure
 * - `denied`: the browser does not let the page have the microphone
 * - `none`: this device has no microphone
 * - `microphone`: it can't be used, for the reason in `detail`
 * - `taken`: somebody else talks, named by `detail`
 * - `forbidden`: not with this role
 * - `refused`: the board can't play anything, for the reason in `detail`
 * - `ended`: the board hears this viewer no more
 */

/** Talking failed, or was ended by somebody else. */
export class TalkFailureEvent extends Event {
  /**
   * @param {TalkFailure} failure
   * @param {string} detail
   */
  constructor(failure, detail) {
    super('failure');
    this.failure = failure;
    this.detail = detail;
  }
}

/**
 * Events: `change` when `state` changed, `failure` (a TalkFailureEvent), and `ready` when the user has allowed the microphone but
 * no longer wants to talk.
 */
export class Talker extends EventTarget {
  /** @type {TalkState} */
  state = 'idle';
  #microphone = new Microphone();
  /** Sends what is said. @type {RTCRtpSender | null} */
  #sender = null;
  /** Whether the board has agreed, and has not taken it back. */
  #granted = false;
  /** Counts the beginnings and ends: what was awaited is of no use if there was another meanwhile. */
  #turn = 0;

  /**
   * @param {BoardClient} client
   * @param {Connection} connection
   */
  constructor(client, connection) {
    super();
    this.client = client;
    this.connection = connection;
    this.#microphone.addEventListener('ended', () => this.#fail('microphone', ''));
    client.addEventListener('talk', (event) => {
      const { name, you } = /** @type {BoardEvent} */ (event).params;
      if (!this.#granted || you) return;
      if (name === null) this.#fail('ended', '');
      else this.#fail('taken', name);
    });
    client.addEventListener('change', () => client.connected || this.stop());
  }

  /** Whether the board takes what this session would say. */
  get possible() {
    return this.connection.session?.talkSender != null;
  }

  /** How loud the user is, from 0 to 1. */
  get level() {
    return this.state === 'talking' ? this.#microphone.level() : 0;
  }

  /** Begins to talk. */
  async start() {
    if (this.state !== 'idle') return;
    const turn = ++this.#turn;
    this.#setState('starting');
    try {
      const track = await this.#microphone.open();
      if (turn !== this.#turn) {
        if (this.state !== 'idle') return;
        this.#microphone.release();
        this.dispatchEvent(new Event('ready'));
        return;
      }
      await this.client.request('talk.start');
      if (turn !== this.#turn) return;
      this.#granted = true;
      this.#sender = this.connection.session?.talkSender ?? null;
      await this.#sender?.replaceTrack(track);
      if (turn === this.#turn) this.#setState('talking');
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error instanceof ControlError) {
        const failure = BOARD_FAILURES[error.code] ?? 'refused';
        this.#fail(failure, failure === 'taken' ? this.client.status?.speaker?.talker ?? '' : error.message);
      } else {
        const { name, message } = /** @type {Error} */ (error);
        this.#fail(MICROPHONE_FAILURES[name] ?? 'microphone', message);
      }
    }
  }

  /** Ends talking, or an attempt to begin. */
  stop() {
    if (this.state === 'idle') return;
    this.#turn++;
    this.#granted = false;
    // Fails if the session is over, and with it this sender.
    this.#sender?.replaceTrack(null).catch(() => {});
    this.#sender = null;
    // Without a session there is nothing to end on the board.
    this.client.request('talk.stop').catch(() => {});
    this.#microphone.release();
    this.#setState('idle');
  }

  /**
   * @param {TalkFailure} failure
   * @param {string} detail
   */
  #fail(failure, detail) {
    if (this.state === 'idle') return;
    this.stop();
    this.dispatchEvent(new TalkFailureEvent(failure, detail));
  }

  /** @param {TalkState} state */
  #setState(state) {
    this.state = state;
    this.dispatchEvent(new Event('change'));
  }
}
