/** Hides the controls over the video when nobody uses them; meanwhile the body has the class `controls-hidden`. */

/** How long without touch, key or pointer movement before the controls are hidden. */
const HIDE_AFTER_MS = 3_000;

/** Controls that are in use. */
const IN_USE = ':focus-visible, select:focus';

/** A control under the pointer. Not for touch: browsers keep the last touched element hovered. */
const HOVERED = ':is(button, select):hover';
const canHover = matchMedia('(hover: hover)');

export class AutoHide {
  /** Swallows the click of a tap that only made the controls visible. @type {AbortController | undefined} */
  #swallowedClick;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLElement} container The element with the controls.
   * @param {() => boolean} keepVisible Whether the controls have to stay although nobody uses them.
   */
  constructor(container, keepVisible) {
    this.container = container;
    this.keepVisible = keepVisible;
    document.addEventListener('pointerdown', (event) => this.#onPointerDown(event), { capture: true, passive: true });
    const poke = () => this.poke();
    for (const kind of ['pointermove', 'focusin', 'keydown']) document.addEventListener(kind, poke, { passive: true });
    this.poke();
  }

  /** Shows the controls, and hides them again after a while without activity. */
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
    // Hidden controls do not receive the touch, but they are visible again by the time of the click.
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
