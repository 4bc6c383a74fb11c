/** The elements of index.html for the modules that fill them: found by id, and written only when something is new. */

/**
 * The element of this id.
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
 * What is written already stays as it is: somebody may be reading, copying or hearing it.
 * @param {Element | null} place
 * @param {string} text
 */
export function write(place, text) {
  if (place && place.textContent !== text) place.textContent = text;
}

/**
 * @param {HTMLElement} place
 * @param {string} text Empty: the place is hidden.
 */
export function show(place, text) {
  place.hidden = text === '';
  write(place, text);
}

/**
 * The icon and the words of a button.
 * @param {HTMLButtonElement} button
 * @param {string} icon
 * @param {string} text
 */
export function label(button, icon, text) {
  button.querySelector('use')?.setAttribute('href', `#icon-${icon}`);
  write(button.querySelector('span'), text);
}

/**
 * The entries of a menu, and which one stands. A menu that is in hand keeps its choice.
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
 * A new element.
 * @template {keyof HTMLElementTagNameMap} N
 * @param {N} name
 * @param {Record<string, string | boolean>} [attributes] True: there without a value; false: not there.
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
