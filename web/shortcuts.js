/** Keys that stand for buttons, and those that zoom and move the picture. */

/** @import { Zoom } from './zoom.js' */

/** How far an arrow key moves the picture, as a part of the stage. */
const PAN_STEP = 0.15;

/** Where keys are text, or have a meaning of their own. */
const TEXT_INPUTS = 'input:not([type=checkbox]), select, textarea';

/**
 * @param {Record<string, () => void>} keys
 * @param {Zoom} zoom
 * @param {() => boolean} active Whether the page is open to its user.
 */
export function listenToKeys(keys, zoom, active) {
  /** @type {Record<string, () => void>} */
  const zoomKeys = {
    '+': () => zoom.step(1),
    '=': () => zoom.step(1),
    '-': () => zoom.step(-1),
    0: () => zoom.reset(),
  };
  /** @type {Record<string, () => void>} */
  const panKeys = {
    ArrowLeft: () => zoom.pan(-PAN_STEP, 0),
    ArrowRight: () => zoom.pan(PAN_STEP, 0),
    ArrowUp: () => zoom.pan(0, -PAN_STEP),
    ArrowDown: () => zoom.pan(0, PAN_STEP),
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !active()) return;
    const typed = event.target instanceof Element && event.target.matches(TEXT_INPUTS);
    if (typed && event.key !== 'Escape') return;
    // A held key repeats: pictures and panes do not.
    if (!event.repeat) keys[event.key]?.();
    zoomKeys[event.key]?.();
    if (zoom.scale > 1 && event.target === document.body) panKeys[event.key]?.();
  });
}
