/**
 * A closer look at the picture: two fingers or the wheel zoom, one finger or the mouse drags, two taps go there and back. The picture
 * is only moved on the screen; nothing is asked of the board.
 */

/** More than this shows nothing but the pixels of a full-size picture. */
const CLOSEST = 8;

/** Where two taps go. */
const TAPPED = 2.5;

/** One step of a key; the wheel makes as many of them as it turns. */
const STEP = 1.25;

/** What a wheel tells for one of its notches, in pixels. */
const NOTCH = 100;

/** Two taps within this time and distance are one gesture. */
const TAPS_MS = 300;
const TAPS_PX = 30;

/** Touches of these are meant for them. */
const OTHERS = 'button, select, input, label, a, summary, form, .notice';

/** Events: `change` when the picture is seen from nearer or farther. */
export class Zoom extends EventTarget {
  /** Times the whole picture's size. */
  scale = 1;
  #x = 0;
  #y = 0;
  /** Fingers, or the mouse's button, by pointer id. @type {Map<number, {x: number, y: number}>} */
  #pointers = new Map();
  /** Where the only finger went down; null once it is no tap any more. @type {{x: number, y: number} | null} */
  #down = null;
  #tapped = { at: -Infinity, x: 0, y: 0 };

  /**
   * @param {HTMLElement} stage What is touched.
   * @param {HTMLElement} picture What moves; it fills the stage.
   */
  constructor(stage, picture) {
    super();
    this.stage = stage;
    this.picture = picture;
    picture.style.transformOrigin = '0 0';
    stage.addEventListener('pointerdown', (event) => this.#press(event));
    stage.addEventListener('pointermove', (event) => this.#move(event));
    stage.addEventListener('pointerup', (event) => this.#lift(event));
    stage.addEventListener('pointercancel', ({ pointerId }) => this.#pointers.delete(pointerId));
    // Otherwise a browser may take a drag for the fling of a page, and the next tap for what ends the fling.
    stage.addEventListener('touchmove', (event) => this.#pointers.size > 0 && event.cancelable && event.preventDefault(), { passive: false });
    stage.addEventListener('wheel', (event) => {
      if (!this.#meant(event)) return;
      event.preventDefault();
      this.#to(this.scale * STEP ** (-event.deltaY / NOTCH), this.#place(event));
    }, { passive: false });
    new ResizeObserver(() => this.#to(this.scale, { x: 0, y: 0 })).observe(stage);
  }

  /** The whole picture. */
  reset() {
    this.#to(1, { x: 0, y: 0 });
  }

  /**
   * Nearer or farther by so many steps, towards the middle.
   * @param {number} steps
   */
  step(steps) {
    const { clientWidth, clientHeight } = this.stage;
    this.#to(this.scale * STEP ** steps, { x: clientWidth / 2, y: clientHeight / 2 });
  }

  /**
   * Moves what is seen by these parts of the stage.
   * @param {number} right
   * @param {number} down
   */
  pan(right, down) {
    this.#x -= right * this.stage.clientWidth;
    this.#y -= down * this.stage.clientHeight;
    this.#show();
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (!this.#meant(event) || event.button > 0) return;
    const place = this.#place(event);
    this.#pointers.set(event.pointerId, place);
    this.#down = this.#pointers.size === 1 ? place : null;
    // A touch is caught by the element by itself; a mouse that leaves it would be lost.
    if (this.scale > 1) this.stage.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  #lift(event) {
    if (!this.#pointers.delete(event.pointerId) || this.#down === null) return;
    const [place, last] = [this.#down, this.#tapped];
    this.#down = null;
    const twice = event.timeStamp - last.at < TAPS_MS && Math.hypot(place.x - last.x, place.y - last.y) < TAPS_PX;
    this.#tapped = { at: twice ? -Infinity : event.timeStamp, ...place };
    if (twice) this.#to(this.scale > 1 ? 1 : TAPPED, place);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#place(event);
    if (this.#down && Math.hypot(now.x - this.#down.x, now.y - this.#down.y) > TAPS_PX / 2) this.#down = null;
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    if (!other) {
      if (this.scale === 1) return;
      this.#x += now.x - before.x;
      this.#y += now.y - before.y;
      this.#show();
      return;
    }
    const distance = (/** @type {{x: number, y: number}} */ finger) => Math.max(1, Math.hypot(finger.x - other.x, finger.y - other.y));
    this.#x += (now.x - before.x) / 2;
    this.#y += (now.y - before.y) / 2;
    this.#to(this.scale * (distance(now) / distance(before)), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
  }

  /**
   * @param {number} scale
   * @param {{x: number, y: number}} centre What stays in its place.
   */
  #to(scale, centre) {
    const next = Math.min(CLOSEST, Math.max(1, scale));
    const factor = next / this.scale;
    this.#x = centre.x - (centre.x - this.#x) * factor;
    this.#y = centre.y - (centre.y - this.#y) * factor;
    const changed = next !== this.scale;
    this.scale = next;
    this.#show();
    if (changed) this.dispatchEvent(new Event('change'));
  }

  #show() {
    const { clientWidth, clientHeight } = this.stage;
    // The picture's edges stay outside the stage's.
    this.#x = Math.min(0, Math.max(clientWidth * (1 - this.scale), this.#x));
    this.#y = Math.min(0, Math.max(clientHeight * (1 - this.scale), this.#y));
    this.picture.style.transform = this.scale === 1 ? '' : `translate(${this.#x}px, ${this.#y}px) scale(${this.scale})`;
  }

  /** @param {MouseEvent} event */
  #place({ clientX, clientY }) {
    const { left, top } = this.stage.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  }

  /** @param {Event} event */
  #meant({ target }) {
    return target instanceof Element && target.closest(OTHERS) === null;
  }
}
