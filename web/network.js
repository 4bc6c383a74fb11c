/** Changes of this device's network, as far as the browser reports them. What follows from them is decided elsewhere. */

/** @typedef {EventTarget & {type?: string}} NetworkInformation The part of `navigator.connection` that is used here. */

/**
 * @param {(moved: boolean) => void} onChange Called when the network has changed or is back; `moved`: whether it is another kind
 *   of network, such as cellular instead of Wi-Fi.
 */
export function watchNetwork(onChange) {
  addEventListener('online', () => onChange(false));
  const { connection } = /** @type {Navigator & {connection?: NetworkInformation}} */ (navigator);
  let type = connection?.type;
  connection?.addEventListener('change', () => {
    // Chromium also sends it for each new estimate of the speed, on desktops without any type.
    if (connection.type === type || connection.type === 'none') return;
    type = connection.type;
    onChange(true);
  });
}
