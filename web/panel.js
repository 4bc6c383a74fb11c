/** The panel beside or below the video: which pane is open, and where the focus goes. The panes' contents are elsewhere. */

import { i18n, lookUp } from './i18n.js';

/**
 * @typedef {object} Pane
 * @property {HTMLButtonElement} button Opens and closes the pane.
 * @property {HTMLElement} root
 * @property {string} title A key of `locales/en.js`.
 */

/** Events: `change` when another pane was opened, or the panel closed. */
export class Panel extends EventTarget {
  /** The open pane. @type {Pane | null} */
  open = null;

  /**
   * @param {HTMLElement} root
   * @param {HTMLElement} title
   * @param {HTMLButtonElement} close
   * @param {Pane[]} panes
   */
  constructor(root, title, close, panes) {
    super();
    this.root = root;
    this.title = title;
    this.panes = panes;
    close.addEventListener('click', () => this.show(null));
    for (const pane of panes) pane.button.addEventListener('click', () => this.toggle(pane));
    i18n.addEventListener('change', () => this.open && (title.textContent = lookUp(this.open.title)));
  }

  /** @param {Pane} pane */
  toggle(pane) {
    this.show(this.open === pane ? null : pane);
  }

  /** @param {Pane | null} pane Null closes the panel. */
  show(pane) {
    if (this.open === pane) return;
    const left = this.open;
    const hadFocus = this.root.contains(document.activeElement);
    this.open = pane;
    this.root.hidden = pane === null;
    document.body.classList.toggle('panel-open', pane !== null);
    for (const { button, root } of this.panes) {
      root.hidden = root !== pane?.root;
      button.setAttribute('aria-expanded', String(root === pane?.root));
    }
    if (pane) {
      this.title.textContent = lookUp(pane.title);
      this.root.scrollTop = 0;
      this.title.focus({ preventScroll: true });
    } else if (hadFocus) {
      left?.button.focus();
    }
    this.dispatchEvent(new Event('change'));
  }
}
