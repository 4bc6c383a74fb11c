/** Days and hours with recordings, the bars that show them, and which recording is at a time. Pure; drawing is elsewhere. */

/** @import { Recording } from './board-recordings.js' */

/** Seconds of an hour, and of a day: what the bars of days end with is cut off where a day has 25 hours. */
export const HOUR = 3_600;
export const DAY = 24 * HOUR;

/** The longest recording: a file of a day, up to the next key frame. A clock that was set meanwhile would make it longer. */
const LONGEST = DAY + HOUR;

/** The height of a bar in its own units. */
export const BAR_HEIGHT = 10;

/** The least width of what a bar shows, as a share of the bar: a short recording is still to be seen. */
const LEAST = 1 / 150;

/**
 * @typedef {object} Hour
 * @property {number} begin Seconds since the Unix epoch.
 * @property {Recording[]} recordings Those with a part in it, the newest first.
 * @property {Recording[]} events Those that begin in it and were made for a reason.
 *
 * @typedef {object} Day
 * @property {number} begin Its midnight here, in seconds since the Unix epoch.
 * @property {Recording[]} recordings Those with a part in it, the newest first.
 * @property {number} events How many of them were made for a reason, films apart.
 * @property {Hour[]} hours The hours that have any, the latest first.
 */

/**
 * Whether a recording was made for a reason, and not as everything is recorded.
 * @param {Recording} recording
 */
export const isEvent = ({ cause }) => cause !== 'always';

/**
 * Whether it is the film of a time-lapse, whose seconds are not those of the day.
 * @param {Recording} recording
 */
export const isFilm = ({ cause }) => cause === 'timelapse';

/**
 * When a recording ends, in seconds since the Unix epoch; the running one ends now. A film is only where it begins.
 * @param {Recording} recording
 * @param {number} now
 */
export function end(recording, now) {
  const { start, length } = recording;
  return isFilm(recording) ? start : start + Math.min(LONGEST, length ?? Math.max(0, now - start));
}

/**
 * The days with recordings, the latest first.
 * @param {Recording[]} recordings The newest first.
 * @param {number} now Seconds since the Unix epoch.
 */
export function days(recordings, now) {
  /** @type {Map<number, Map<number, Hour>>} */
  const found = new Map();
  for (const recording of recordings) {
    const first = beginOf(recording.start, 'hour');
    for (let begin = first; begin === first || begin < end(recording, now); begin += HOUR) {
      const day = entry(found, beginOf(begin, 'day'), () => new Map());
      const hour = entry(day, begin, () => ({ begin, recordings: [], events: [] }));
      hour.recordings.push(recording);
      if (begin === first && isEvent(recording)) hour.events.push(recording);
    }
  }
  return latest(found).map(([begin, hours]) => {
    const all = latest(hours).map(([, hour]) => hour);
    const inside = [...new Set(all.flatMap((hour) => hour.recordings))];
    return { begin, recordings: inside, events: all.flatMap(({ events }) => events).filter((one) => !isFilm(one)).length, hours: all };
  });
}

/**
 * The path of an SVG that shows recordings as bars, in the seconds after `begin`.
 * @param {Recording[]} recordings
 * @param {number} begin Seconds since the Unix epoch.
 * @param {number} span Seconds.
 * @param {number} now
 */
export function bars(recordings, begin, span, now) {
  let path = '';
  for (const recording of recordings) {
    if (isFilm(recording)) continue;
    const left = Math.max(0, recording.start - begin);
    const right = Math.min(span, end(recording, now) - begin);
    if (right <= left && recording.start - begin >= span) continue;
    const width = Math.max(right - left, span * LEAST);
    path += `M${Math.min(left, span - width).toFixed(1)} 0h${width.toFixed(1)}v${BAR_HEIGHT}h-${width.toFixed(1)}z`;
  }
  return path;
}

/**
 * The recording at a time, and how many seconds after its beginning that is; otherwise the nearest one, from its beginning.
 * @param {Recording[]} recordings
 * @param {number} time Seconds since the Unix epoch.
 * @param {number} now
 * @returns {{recording: Recording, offset: number} | null}
 */
export function at(recordings, time, now) {
  let nearest = null;
  let least = Infinity;
  for (const recording of recordings) {
    if (isFilm(recording)) continue;
    const away = Math.max(recording.start - time, time - end(recording, now), 0);
    if (away === 0) return { recording, offset: time - recording.start };
    if (away < least) [nearest, least] = [recording, away];
  }
  return nearest && { recording: nearest, offset: 0 };
}

/**
 * The recording that goes on where another one ends: a file of an hour is followed by another.
 * @param {Recording[]} recordings
 * @param {Recording} before
 */
export function following(recordings, before) {
  const next = recordings.filter((one) => one.id > before.id && one.camera === before.camera && !isFilm(one)).sort((one, other) => one.id - other.id)[0];
  // Starts are in whole seconds.
  return next && !isFilm(before) && before.length !== null && Math.abs(next.start - before.start - before.length) < 3 ? next : null;
}

/**
 * The beginning of a time's hour or day, where the page is.
 * @param {number} time Seconds since the Unix epoch.
 * @param {'hour' | 'day'} unit
 */
export function beginOf(time, unit) {
  const date = new Date(time * 1000);
  if (unit === 'day') date.setHours(0, 0, 0, 0);
  else date.setMinutes(0, 0, 0);
  return date.getTime() / 1000;
}

/**
 * @template V
 * @param {Map<number, V>} map
 * @param {number} key
 * @param {() => V} make
 */
function entry(map, key, make) {
  const known = map.get(key);
  if (known) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/**
 * @template V
 * @param {Map<number, V>} map
 */
function latest(map) {
  return [...map].sort(([one], [other]) => other - one);
}
