/**
 * Digital zoom: pinch or wheel to zoom, drag to pan, double-tap to zoom in and out. The video is only transformed on the screen;
 * nothing is requested from the board.
 */

/** Closer than this only shows the pixels of a full-resolution video. */
const MAX_SCALE = 8;

/** The scale that a double tap zooms to. */
const DOUBLE_TAP_SCALE = 2.5;

/** The factor of one key press or one wheel notch. */
const ZOOM_STEP = 1.25;

/** What a wheel reports for one notch, in pixels. */
const WHEEL_NOTCH_PX = 100;

/** Two taps within this time and distance are a double tap. */
const DOUBLE_TAP_MS = 300;
const DOUBLE_TAP_PX = 30;

/** Touches of these elements are not for zooming. */
const INTERACTIVE = 'button, select, input, label, a, summary, form, .notice, .playback';

/** Events: `change` when the scale changed. */
export class Zoom extends EventTarget {
  /** The zoom factor. */
  scale = 1;
  #x = 0;
  #y = 0;
  /** Fingers, or the mouse button, by pointer id. @type {Map<number, {x: number, y: number}>} */
  #pointers = new Map();
  /** Where the only finger went down; null once it cannot be a tap any more. @type {{x: number, y: number} | null} */
  #down = null;
  #lastTap = { at: -Infinity, x: 0, y: 0 };

  /**
   * @param {HTMLElement} container The element that receives the gestures.
   * @param {HTMLElement[]} pictures The elements that are transformed; they fill the container.
   */
  constructor(container, pictures) {
    super();
    this.container = container;
    this.pictures = pictures;
    for (const { style } of pictures) style.transformOrigin = '0 0';
    container.addEventListener('pointerdown', (event) => this.#onPointerDown(event));
    container.addEventListener('pointermove', (event) => this.#onPointerMove(event));
    container.addEventListener('pointerup', (event) => this.#onPointerUp(event));
    container.addEventListener('pointercancel', ({ pointerId }) => this.#pointers.delete(pointerId));
    // Otherwise a browser may take a drag for a page fling, and the next tap for the end of the fling.
    container.addEventListener('touchmove', (event) => this.#pointers.size > 0 && event.cancelable && event.preventDefault(), { passive: false });
    container.addEventListener('wheel', (event) => {
      if (!this.#handles(event)) return;
      event.preventDefault();
      this.#zoomTo(this.scale * ZOOM_STEP ** (-event.deltaY / WHEEL_NOTCH_PX), this.#position(event));
    }, { passive: false });
    new ResizeObserver(() => this.#zoomTo(this.scale, { x: 0, y: 0 })).observe(container);
  }

  /** Shows the whole video. */
  reset() {
    this.#zoomTo(1, { x: 0, y: 0 });
  }

  /**
   * Zooms in or out by this many steps, towards the middle.
   * @param {number} steps
   */
  step(steps) {
    const { clientWidth, clientHeight } = this.container;
    this.#zoomTo(this.scale * ZOOM_STEP ** steps, { x: clientWidth / 2, y: clientHeight / 2 });
  }

  /**
   * Pans by these shares of the container.
   * @param {number} right
   * @param {number} down
   */
  pan(right, down) {
    this.#x -= right * this.container.clientWidth;
    this.#y -= down * this.container.clientHeight;
    this.#apply();
  }

  /** @param {PointerEvent} event */
  #onPointerDown(event) {
    if (!this.#handles(event) || event.button > 0) return;
    const position = this.#position(event);
    this.#pointers.set(event.pointerId, position);
    this.#down = this.#pointers.size === 1 ? position : null;
    // Touches are captured implicitly; a mouse that leaves the element would be lost.
    if (this.scale > 1) this.container.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  #onPointerUp(event) {
    if (!this.#pointers.delete(event.pointerId) || this.#down === null) return;
    const [position, last] = [this.#down, this.#lastTap];
    this.#down = null;
    const doubleTap = event.timeStamp - last.at < DOUBLE_TAP_MS && Math.hypot(position.x - last.x, position.y - last.y) < DOUBLE_TAP_PX;
    this.#lastTap = { at: doubleTap ? -Infinity : event.timeStamp, ...position };
    if (doubleTap) this.#zoomTo(this.scale > 1 ? 1 : DOUBLE_TAP_SCALE, position);
  }

  /** @param {PointerEvent} event */
  #onPointerMove(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#position(event);
    if (this.#down && Math.hypot(now.x - this.#down.x, now.y - this.#down.y) > DOUBLE_TAP_PX / 2) this.#down = null;
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    if (!other) {
      if (this.scale === 1) return;
      this.#x += now.x - before.x;
      this.#y += now.y - before.y;
      this.#apply();
      return;
    }
    const distance = (/** @type {{x: number, y: number}} */ finger) => Math.max(1, Math.hypot(finger.x - other.x, finger.y - other.y));
    this.#x += (now.x - before.x) / 2;
    this.#y += (now.y - before.y) / 2;
    this.#zoomTo(this.scale * (distance(now) / distance(before)), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
  }

  /**
   * @param {number} scale
   * @param {{x: number, y: number}} centre The point that stays in place.
   */
  #zoomTo(scale, centre) {
    const next = Math.min(MAX_SCALE, Math.max(1, scale));
    const factor = next / this.scale;
    this.#x = centre.x - (centre.x - this.#x) * factor;
    this.#y = centre.y - (centre.y - this.#y) * factor;
    const changed = next !== this.scale;
    this.scale = next;
    this.#apply();
    if (changed) this.dispatchEvent(new Event('change'));
  }

  #apply() {
    const { clientWidth, clientHeight } = this.container;
    // The video always covers the container.
    this.#x = Math.min(0, Math.max(clientWidth * (1 - this.scale), this.#x));
    this.#y = Math.min(0, Math.max(clientHeight * (1 - this.scale), this.#y));
    const transform = this.scale === 1 ? '' : `translate(${this.#x}px, ${this.#y}px) scale(${this.scale})`;
    for (const { style } of this.pictures) style.transform = transform;
  }

  /** @param {MouseEvent} event */
  #position({ clientX, clientY }) {
    const { left, top } = this.container.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  }

  /** @param {Event} event */
  #handles({ target }) {
    return target instanceof Element && target.closest(INTERACTIVE) === null;
  }
}
