/**
 * The time line: days, of which one is unfolded to its hours, each a bar with its recordings, and below it pictures of what was
 * recorded for a reason. However many recordings there are, few elements show them.
 */

import { element, make, show, write } from './elements.js';
import { locale, t } from './i18n.js';
import { shownDay, shownTime } from './playback.js';
import { clock } from './recorder.js';
import { BAR_HEIGHT, DAY, HOUR, at, bars, beginOf, days, isEvent } from './time-line.js';

/** @import { BoardRecordings, Recording } from './board-recordings.js' */
/** @import { Day, Hour } from './time-line.js' */

/** How many pictures an hour shows at first, and how many more each time. */
const PICTURES = 4;
const MORE_PICTURES = 24;

const SVG = 'http://www.w3.org/2000/svg';

/** The user wants to see a recording. */
export class PlayEvent extends Event {
  /**
   * @param {Recording} recording
   * @param {number} offset Seconds after its beginning.
   */
  constructor(recording, offset) {
    super('play');
    this.recording = recording;
    this.offset = offset;
  }
}

/** Events: `play` (a PlayEvent). */
export class HistoryPane extends EventTarget {
  /** The day that is unfolded, by its beginning. @type {number | 'latest' | 'none'} */
  #open = 'latest';
  /** How many pictures are shown, by the beginning of the hour. @type {Map<number, number>} */
  #pictures = new Map();
  /** What shows each event that is seen: kept, so that its picture is not fetched again. @type {Map<number, HTMLLIElement>} */
  #cards = new Map();
  /** The hours that are shown. @type {Map<number, {hour: Hour, playhead: SVGElement}>} */
  #hours = new Map();
  /** @type {number | null} */
  #playing = null;

  /** @param {BoardRecordings} recordings */
  constructor(recordings) {
    super();
    this.recordings = recordings;
    this.days = element('history-days', HTMLElement);
    this.note = element('history-note', HTMLElement);
    this.older = element('history-older', HTMLButtonElement);
    this.days.addEventListener('click', (event) => this.#onClick(event));
    this.older.addEventListener('click', async () => {
      this.older.disabled = true;
      await recordings.readOlder();
      this.older.disabled = false;
    });
  }

  /** @param {number | null} playing The ID of the recording that is played. */
  show(playing) {
    const { list, loaded, failed, hasOlder } = this.recordings;
    const texts = t().history;
    this.#playing = playing;
    this.older.hidden = !hasOlder;
    show(this.note, failed ? texts.failed : !loaded ? texts.loading : list.length === 0 ? texts.none : '');
    const focused = document.activeElement instanceof HTMLElement && this.days.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    const now = Date.now() / 1000;
    const all = days(list, now);
    const isThere = all.some(({ begin }) => begin === this.#open);
    const open = isThere || this.#open === 'none' ? this.#open : all[0]?.begin;
    this.#hours.clear();
    this.days.replaceChildren(...all.map((day) => this.#day(day, day.begin === open, now)));
    for (const [id, card] of this.#cards) if (!card.isConnected) this.#cards.delete(id);
    if (focused) /** @type {HTMLElement | null} */ (this.days.querySelector(`[data-key="${focused}"]`))?.focus({ preventScroll: true });
  }

  /**
   * Marks the time that is played.
   * @param {number | null} time Seconds since the Unix epoch.
   */
  mark(time) {
    for (const [begin, { playhead }] of this.#hours) {
      const inside = time !== null && time >= begin && time < begin + HOUR;
      playhead.setAttribute('d', inside ? `M${(time - begin).toFixed(1)} 0v${BAR_HEIGHT}` : '');
    }
  }

  /**
   * @param {Day} day
   * @param {boolean} open
   * @param {number} now
   */
  #day(day, open, now) {
    const name = dayName(day.begin, now);
    const count = day.events > 0 ? t().history.events(day.events) : '';
    const head = make('button', { type: 'button', class: 'day', 'aria-expanded': String(open), 'data-key': `d${day.begin}`, 'data-day': String(day.begin) },
      make('span', { class: 'day-name' }, name), make('span', { class: 'day-count' }, count), drawing(day.recordings, day.begin, DAY, now).bar);
    const section = make('section', { class: 'history-day' }, make('h3', {}, head));
    if (open) section.append(...day.hours.map((hour) => this.#hour(hour, now)));
    return section;
  }

  /**
   * @param {Hour} hour
   * @param {number} now
   */
  #hour(hour, now) {
    const { begin, recordings, events } = hour;
    const { bar, playhead } = drawing(recordings, begin, HOUR, now);
    this.#hours.set(begin, { hour, playhead });
    const name = hourName(begin);
    const button = make('button', {
      type: 'button', class: 'hour', 'data-key': `h${begin}`, 'data-hour': String(begin),
      'aria-label': t().history.hour(name, hourName(begin + HOUR), recordings.length),
    }, make('span', { class: 'hour-name' }, name), bar);
    const row = make('div', { class: 'history-hour' }, button);
    const shown = this.#pictures.get(begin) ?? PICTURES;
    if (events.length > 0) row.append(make('ul', { class: 'events' }, ...events.slice(0, shown).map((recording) => this.#card(recording))));
    const rest = events.length - shown;
    if (rest > 0) row.append(make('button', { type: 'button', class: 'wide', 'data-key': `m${begin}`, 'data-more': String(begin) }, t().history.more(rest)));
    return row;
  }

  /** @param {Recording} recording */
  #card(recording) {
    const { id, start, length, cause } = recording;
    const card = this.#cards.get(id) ?? this.#newCard(recording);
    const part = (/** @type {string} */ name) => card.querySelector(`.event-${name}`);
    const texts = t().history;
    write(part('time'), shownTime(start));
    write(part('length'), length === null ? texts.running : clock(length * 1000));
    write(part('cause'), causeName(cause));
    write(part('kept'), recording.protected ? texts.protected : '');
    const button = /** @type {HTMLElement} */ (card.firstElementChild);
    button.classList.toggle('protected', recording.protected);
    if (id === this.#playing) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
    return card;
  }

  /** @param {Recording} recording */
  #newCard({ id, picture: path }) {
    const picture = make('img', { src: this.recordings.url(path), alt: '', loading: 'lazy', decoding: 'async', width: '160', height: '90' });
    // Of a recording whose beginning could not be decoded there is none.
    picture.addEventListener('error', () => picture.removeAttribute('src'));
    const button = make('button', { type: 'button', class: 'event', 'data-key': `r${id}`, 'data-id': String(id) },
      make('span', { class: 'event-picture' }, picture), make('span', { class: 'event-time' }), make('span', { class: 'event-cause' }),
      make('span', { class: 'event-length' }), make('span', { class: 'event-kept visually-hidden' }));
    const card = make('li', {}, button);
    this.#cards.set(id, card);
    return card;
  }

  /** @param {MouseEvent} event */
  #onClick({ target, clientX, detail }) {
    const button = target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest('button')) : null;
    const { day, hour, more, id } = button?.dataset ?? {};
    if (day) {
      const unfolded = button?.getAttribute('aria-expanded') === 'true';
      this.#open = unfolded ? 'none' : Number(day);
      this.show(this.#playing);
    } else if (more) {
      this.#pictures.set(Number(more), (this.#pictures.get(Number(more)) ?? PICTURES) + MORE_PICTURES);
      this.show(this.#playing);
    } else if (id) {
      const recording = this.recordings.find(Number(id));
      if (recording) this.dispatchEvent(new PlayEvent(recording, 0));
    } else if (hour) {
      const bar = button?.querySelector('svg')?.getBoundingClientRect();
      // From its beginning, unless there was a tap at another place.
      const share = bar && detail > 0 ? Math.min(1, Math.max(0, (clientX - bar.left) / bar.width)) : 0;
      const found = at(this.#hours.get(Number(hour))?.hour.recordings ?? [], Number(hour) + share * HOUR, Date.now() / 1000);
      if (found) this.dispatchEvent(new PlayEvent(found.recording, found.offset));
    }
  }
}

/**
 * What a recording was made for.
 * @param {string} cause
 */
export function causeName(cause) {
  const { causes } = t().history;
  return Object.hasOwn(causes, cause) ? causes[/** @type {keyof typeof causes} */ (cause)] : cause;
}

/**
 * @param {number} begin
 * @param {number} now
 */
function dayName(begin, now) {
  const today = beginOf(now, 'day');
  if (begin === today) return t().history.today;
  // Also after a day of 23 or 25 hours.
  return begin === beginOf(today - HOUR, 'day') ? t().history.yesterday : shownDay(begin);
}

/** @param {number} begin */
function hourName(begin) {
  return new Date(begin * 1000).toLocaleTimeString(locale(), { hour: 'numeric', minute: '2-digit' });
}

/**
 * A bar with everything that was recorded, what was recorded for a reason in another colour and higher, and the time that is
 * played.
 * @param {Recording[]} recordings
 * @param {number} begin
 * @param {number} span
 * @param {number} now
 */
function drawing(recordings, begin, span, now) {
  const bar = document.createElementNS(SVG, 'svg');
  const attributes = { viewBox: `0 0 ${span} ${BAR_HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true', class: 'bar' };
  for (const [name, value] of Object.entries(attributes)) bar.setAttribute(name, value);
  const path = (/** @type {string} */ kind, /** @type {string} */ line) => {
    const made = document.createElementNS(SVG, 'path');
    made.setAttribute('class', kind);
    made.setAttribute('d', line);
    bar.append(made);
    return made;
  };
  path('bar-always', bars(recordings.filter((recording) => !isEvent(recording)), begin, span, now));
  path('bar-event', bars(recordings.filter(isEvent), begin, span, now));
  return { bar, playhead: path('bar-playhead', '') };
}
