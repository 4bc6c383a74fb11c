/** What stands on the picture and in its place: names, states, banners and the notice. What is the matter is found out elsewhere. */

import { element, show, write } from './elements.js';
import { text } from './i18n.js';
import { Notice } from './notice.js';
import { isAway, isCut, notice, patternWords, remarks } from './messages.js';

/** @import { Connection } from './connection.js' */
/** @import { Words, Situation } from './messages.js' */

/**
 * @typedef {object} Seen
 * @property {Situation} situation
 * @property {Connection} connection
 * @property {boolean} closed Whether somebody has to sign in first.
 * @property {Date | null} stalledSince
 * @property {number} scale Times the whole picture's size.
 */

export class Stage {
  constructor() {
    const part = (/** @type {string} */ id) => element(id, HTMLElement);
    this.video = part('video');
    this.name = part('name');
    this.chooser = part('chooser');
    this.state = part('state');
    this.pattern = part('pattern');
    this.remark = part('remark');
    this.noticeBox = part('notice');
    this.notices = new Notice(this.noticeBox);
    this.action = element('notice-action', HTMLButtonElement);
    this.whole = element('whole', HTMLButtonElement);
    this.announcement = part('announcement');
  }

  /** @param {Seen} seen */
  show({ situation, connection, closed, stalledSince, scale }) {
    const { camera } = situation;
    const words = closed ? null : notice(situation);
    const notes = closed ? [] : remarks(situation, stalledSince);
    const state = closed ? 'signed-out' : isCut(situation) ? 'cut' : isAway(situation) ? 'away' : connection.state;
    const connected = connection.state === 'live' || connection.state === 'interrupted';

    document.body.dataset.state = state;
    write(this.state, text().states[state]);
    this.#showName(situation);
    show(this.pattern, connected && !isCut(situation) ? patternWords(camera) : '');
    show(this.remark, words ? '' : notes.join('. '));
    this.#showNotice(words, connection);
    this.whole.hidden = scale === 1;
    const zoomed = text().page.zoomed(scale.toFixed(1));
    write(this.whole.querySelector('span'), zoomed);
    this.whole.setAttribute('aria-label', text().page.zoomedLabel(zoomed));
    const heard = words ? `${words.title}. ${words.text}` : [text().states[state], this.pattern.textContent, ...notes].filter(Boolean).join('. ');
    // Read out by a screen reader, once.
    write(this.announcement, heard);
  }

  /**
   * @param {Words | null} words
   * @param {Connection} connection
   */
  #showNotice(words, { state, error, due }) {
    this.noticeBox.classList.toggle('first', error === null);
    const seconds = Math.max(1, Math.ceil((due - performance.now()) / 1000));
    const again = state === 'connecting' && error ? text().states.connecting : '';
    this.notices.show(words, state === 'waiting' ? text().actions.next(seconds) : again);
    if (!words) return;
    const away = state === 'connecting' || state === 'live';
    if (away && document.activeElement === this.action) element('hang-up', HTMLButtonElement).focus();
    this.action.classList.toggle('away', away);
    const { start, tryNow, tryAgain } = text().actions;
    write(this.action, state === 'stopped' ? start : state === 'waiting' ? tryNow : tryAgain);
  }

  /** @param {Situation} situation */
  #showName({ status, camera, wanted }) {
    // While the board is away its cameras are still known by name.
    if (status) this.chooser.hidden = status.cameras.length < 2;
    const shown = camera?.name ?? wanted ?? this.name.textContent ?? '';
    write(this.name, shown);
    this.name.hidden = !this.chooser.hidden;
    document.title = shown ? `${shown} – porthole` : 'porthole';
    this.video.setAttribute('aria-label', shown ? text().page.pictureOf(shown) : text().page.picture);
  }
}
