/** When the controls leave the picture and come back: the body has the class `quiet` meanwhile. */

/** After so long without a touch, a key or the pointer they go. */
const QUIET_AFTER_MS = 3_000;

/** What somebody is at. */
const USED = ':focus-visible, select:focus';

/** Where a pointer can rest on a control; a finger cannot, and what it touched last counts as hovered there. */
const RESTED_ON = ':is(button, select):hover';
const hovering = matchMedia('(hover: hover)');

export class Quiet {
  /** Keeps a touch from what it has only just made visible. @type {AbortController | undefined} */
  #guard;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLElement} stage Where the controls are.
   * @param {() => boolean} needed Whether they have to stay for now, though nobody is at one of them.
   */
  constructor(stage, needed) {
    this.stage = stage;
    this.needed = needed;
    document.addEventListener('pointerdown', (event) => this.#touched(event), { capture: true, passive: true });
    const stir = () => this.stir();
    for (const kind of ['pointermove', 'focusin', 'keydown']) document.addEventListener(kind, stir, { passive: true });
    this.stir();
  }

  /** Shows the controls, and hides them again when nothing more happens. */
  stir() {
    document.body.classList.remove('quiet');
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.needed() || this.#inUse()) this.stir();
      else document.body.classList.add('quiet');
    }, QUIET_AFTER_MS);
  }

  #inUse() {
    return this.stage.querySelector(hovering.matches ? `${USED}, ${RESTED_ON}` : USED) !== null;
  }

  /** @param {PointerEvent} event */
  #touched({ target }) {
    this.#guard?.abort();
    const hidden = document.body.classList.contains('quiet');
    // What is hidden cannot be touched; but by the time of the click it is there again.
    if (hidden && target instanceof Element && target.closest('button, select, a, summary') === null) {
      this.#guard = new AbortController();
      document.addEventListener('click', (event) => {
        event.preventDefault();
        event.stopPropagation();
      }, { capture: true, once: true, signal: this.#guard.signal });
    }
    this.stir();
  }
}
