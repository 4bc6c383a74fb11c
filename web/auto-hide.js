/** When the controls leave the picture and come back: the body has the class `quiet` meanwhile. */

/** After so long without a touch, a key or the pointer they go. */
const HIDE_AFTER_MS = 3_000;

/** What somebody is at. */
const IN_USE = ':focus-visible, select:focus';

/** Where a pointer can rest on a control; a finger cannot, and what it touched last counts as hovered there. */
const HOVERED = ':is(button, select):hover';
const canHover = matchMedia('(hover: hover)');

export class AutoHide {
  /** Keeps a touch from what it has only just made visible. @type {AbortController | undefined} */
  #swallowedClick;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLElement} container Where the controls are.
   * @param {() => boolean} keepVisible Whether they have to stay for now, though nobody is at one of them.
   */
  constructor(container, keepVisible) {
    this.container = container;
    this.keepVisible = keepVisible;
    document.addEventListener('pointerdown', (event) => this.#onPointerDown(event), { capture: true, passive: true });
    const poke = () => this.poke();
    for (const kind of ['pointermove', 'focusin', 'keydown']) document.addEventListener(kind, poke, { passive: true });
    this.poke();
  }

  /** Shows the controls, and hides them again when nothing more happens. */
  poke() {
    document.body.classList.remove('controls-hidden');
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.keepVisible() || this.#inUse()) this.poke();
      else document.body.classList.add('controls-hidden');
    }, HIDE_AFTER_MS);
  }

  #inUse() {
    return this.container.querySelector(canHover.matches ? `${IN_USE}, ${HOVERED}` : IN_USE) !== null;
  }

  /** @param {PointerEvent} event */
  #onPointerDown({ target }) {
    this.#swallowedClick?.abort();
    const hidden = document.body.classList.contains('controls-hidden');
    // What is hidden cannot be touched; but by the time of the click it is there again.
    if (hidden && target instanceof Element && target.closest('button, select, a, summary') === null) {
      this.#swallowedClick = new AbortController();
      document.addEventListener('click', (event) => {
        event.preventDefault();
        event.stopPropagation();
      }, { capture: true, once: true, signal: this.#swallowedClick.signal });
    }
    this.poke();
  }
}
