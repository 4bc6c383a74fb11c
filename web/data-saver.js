/** Whether this browser's user wants to save data, which is remembered. */

/** The localStorage key of the choice. */
const STORAGE_KEY = 'data-saver';

/** The stored choice; off if there is none. */
export function storedDataSaver() {
  try {
    return localStorage.getItem(STORAGE_KEY) === 'on';
  } catch {
    return false;
  }
}

/** @param {boolean} on */
export function storeDataSaver(on) {
  try {
    if (on) localStorage.setItem(STORAGE_KEY, 'on');
    else localStorage.removeItem(STORAGE_KEY);
  } catch {
    // Without storage, it has to be chosen again.
  }
}
