/** When the controls leave the picture and come back: the body has the class `quiet` meanwhile. */

/** After so long without a touch, a key or the pointer they go. */
const QUIET_AFTER_MS = 3_000;

export class Quiet {
  /** Keeps a touch from what it has only just made visible. @type {AbortController | undefined} */
  #guard;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {() => boolean} needed Whether they have to stay for now. */
  constructor(needed) {
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
      if (this.needed()) this.stir();
      else document.body.classList.add('quiet');
    }, QUIET_AFTER_MS);
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
