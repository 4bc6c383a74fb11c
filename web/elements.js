/** Helpers for the elements of index.html: finding, creating and updating them, with writes only where something changed. */

/**
 * The element with this id.
 * @template {Element} T
 * @param {string} id
 * @param {{new (): T}} type
 * @returns {T}
 */
export function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} #${id}`);
  return found;
}

/**
 * Text that has not changed is left alone: the user may be selecting it, or a screen reader may be reading it.
 * @param {Element | null} place
 * @param {string} text
 */
export function write(place, text) {
  if (place && place.textContent !== text) place.textContent = text;
}

/**
 * @param {HTMLElement} place
 * @param {string} text If empty, the element is hidden.
 */
export function show(place, text) {
  place.hidden = text === '';
  write(place, text);
}

/**
 * Sets a button's icon and text.
 * @param {HTMLButtonElement} button
 * @param {string} icon
 * @param {string} text
 */
export function label(button, icon, text) {
  button.querySelector('use')?.setAttribute('href', `#icon-${icon}`);
  write(button.querySelector('span'), text);
}

/**
 * Sets the options of a menu and the selected one. A menu that the user has open keeps its selection.
 * @param {HTMLSelectElement} menu
 * @param {{value: string, text: string}[]} entries
 * @param {string} chosen
 */
export function choices(menu, entries, chosen) {
  const same = menu.options.length === entries.length
    && entries.every(({ value, text }, at) => menu.options[at].value === value && menu.options[at].text === text);
  if (!same) menu.replaceChildren(...entries.map(({ value, text }) => new Option(text, value)));
  if (!same || document.activeElement !== menu || !menu.dataset.touched) menu.value = chosen;
}

/**
 * Creates an element.
 * @template {keyof HTMLElementTagNameMap} N
 * @param {N} name
 * @param {Record<string, string | boolean>} [attributes] True: present without a value; false: absent.
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[N]}
 */
export function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children);
  return made;
}
