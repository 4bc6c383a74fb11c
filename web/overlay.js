/** What is shown over the video or in its place: camera name, state, banners and the notice. Decides nothing; see `messages.js`. */

import { element, show, write } from './elements.js';
import { t } from './i18n.js';
import { isCameraDown, isLost, isPrivacyOn, message, patternLabel, warnings } from './messages.js';
import { Notice } from './notice.js';

/** @import { Connection } from './connection.js' */
/** @import { Message, Situation } from './messages.js' */

/**
 * @typedef {object} OverlayState
 * @property {Situation} situation
 * @property {Connection} connection
 * @property {boolean} signInRequired Whether the user has to sign in first.
 * @property {Date | null} stalledSince
 * @property {number} scale The zoom factor.
 * @property {string} talker Who talks; empty if nobody does.
 */

export class Overlay {
  constructor() {
    const part = (/** @type {string} */ id) => element(id, HTMLElement);
    this.video = part('video');
    this.image = element('mjpeg', HTMLImageElement);
    this.name = part('camera-name');
    this.cameraMenu = part('camera-menu');
    this.state = part('state');
    this.pattern = part('pattern');
    this.talker = part('talker');
    this.warning = part('warning');
    this.noticeRoot = part('notice');
    this.notice = new Notice(this.noticeRoot);
    this.mjpegNote = part('notice-mjpeg');
    this.expand = element('notice-expand', HTMLButtonElement);
    this.expand.addEventListener('click', () => this.#setExpanded(!this.noticeRoot.classList.contains('expanded')));
    this.action = element('notice-action', HTMLButtonElement);
    this.resetZoom = element('reset-zoom', HTMLButtonElement);
    this.announcement = part('announcement');
  }

  /** @param {OverlayState} state */
  show({ situation, connection, signInRequired, stalledSince, scale, talker }) {
    const { camera } = situation;
    const shown = signInRequired ? null : message(situation);
    const active = signInRequired ? [] : warnings(situation, stalledSince);
    const name = signInRequired ? 'signed-out' : stateName(situation);
    const connected = connection.state === 'live' || connection.state === 'interrupted' || situation.fallback;

    document.body.dataset.state = name;
    write(this.state, t().states[name]);
    this.#showName(situation);
    show(this.pattern, connected && !isPrivacyOn(situation) ? patternLabel(camera) : '');
    show(this.talker, connected ? talker : '');
    show(this.warning, shown ? '' : active.join('. '));
    this.#showNotice(shown, connection);
    this.#showCompact(shown !== null && situation.fallback);
    this.resetZoom.hidden = scale === 1;
    const zoomed = t().page.zoomed(scale.toFixed(1));
    write(this.resetZoom.querySelector('span'), zoomed);
    this.resetZoom.setAttribute('aria-label', t().page.zoomedLabel(zoomed));
    const mjpeg = situation.fallback ? ` ${t().page.mjpeg}` : '';
    const announcement = shown ? `${shown.title}. ${shown.text}${mjpeg}` : [t().states[name], this.pattern.textContent, this.talker.textContent, ...active].filter(Boolean).join('. ');
    // Read by screen readers, once for each change.
    write(this.announcement, announcement);
  }

  /**
   * @param {Message | null} shown
   * @param {Connection} connection
   */
  #showNotice(shown, { state, error, retryAt }) {
    this.noticeRoot.classList.toggle('first-attempt', error === null);
    const seconds = Math.max(1, Math.ceil((retryAt - performance.now()) / 1000));
    const progress = state === 'connecting' && error ? t().states.connecting : '';
    this.notice.show(shown, state === 'waiting' ? t().actions.next(seconds) : progress);
    if (!shown) return;
    const automatic = state === 'connecting' || state === 'live' || state === 'interrupted';
    if (automatic && document.activeElement === this.action) element('hang-up', HTMLButtonElement).focus();
    this.action.classList.toggle('invisible', automatic);
    const { start, tryNow, tryAgain } = t().actions;
    write(this.action, state === 'stopped' ? start : state === 'waiting' ? tryNow : tryAgain);
  }

  /**
   * Over MJPEG the notice says in brief what is missing.
   * @param {boolean} compact
   */
  #showCompact(compact) {
    this.noticeRoot.classList.toggle('compact', compact);
    this.mjpegNote.hidden = this.expand.hidden = !compact;
    if (!compact) this.#setExpanded(false);
  }

  /** @param {boolean} expanded */
  #setExpanded(expanded) {
    this.noticeRoot.classList.toggle('expanded', expanded);
    this.expand.setAttribute('aria-expanded', String(expanded));
  }

  /** @param {Situation} situation */
  #showName({ status, camera, requestedCamera }) {
    // The camera names are still known while the board is away.
    if (status) this.cameraMenu.hidden = status.cameras.length < 2;
    const shown = camera?.name ?? requestedCamera ?? this.name.textContent ?? '';
    write(this.name, shown);
    this.name.hidden = !this.cameraMenu.hidden;
    document.title = shown ? `${shown} – porthole` : 'porthole';
    const label = shown ? t().page.videoFrom(shown) : t().page.video;
    this.video.setAttribute('aria-label', label);
    this.image.alt = label;
  }
}

/**
 * The key of the state's name.
 * @param {Situation} situation
 */
function stateName(situation) {
  if (situation.fallback) return 'fallback';
  if (isPrivacyOn(situation)) return 'privacy';
  if (isCameraDown(situation)) return 'no-camera';
  return isLost(situation) ? 'waiting' : situation.state;
}
