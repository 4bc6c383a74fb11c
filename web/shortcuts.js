/** Keyboard shortcuts for the buttons, and keys that zoom and pan the video. */

/** @import { Zoom } from './zoom.js' */

/** How far an arrow key pans, as a share of the player's size. */
const PAN_STEP = 0.15;

/** Elements that use the keys themselves. */
const TEXT_INPUTS = 'input:not([type=checkbox]), select, textarea';

/**
 * @param {Record<string, () => void>} keys
 * @param {Zoom} zoom
 * @param {(key: string) => boolean} active Whether a shortcut is enabled.
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
    if (event.ctrlKey || event.metaKey || event.altKey || !active(event.key)) return;
    // Behind a question nothing happens.
    if (document.querySelector('dialog[open]')) return;
    const typed = event.target instanceof Element && event.target.matches(TEXT_INPUTS);
    if (typed && event.key !== 'Escape') return;
    // Key repeat is for zooming and panning only.
    if (!event.repeat) keys[event.key]?.();
    zoomKeys[event.key]?.();
    if (zoom.scale > 1 && event.target === document.body) panKeys[event.key]?.();
  });
}
