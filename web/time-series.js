/** Figures of the last two minutes, one a second. How they are drawn does not belong here. */

/** Two minutes of one reading a second. */
const KEPT_MS = 120_000;

/**
 * @typedef {object} Point
 * @property {number} at In `performance.now()` time.
 * @property {number | null} value Null: there was none.
 */

export class History {
  /** @type {Map<string, Point[]>} */
  #series = new Map();

  /**
   * @param {Record<string, number | null | undefined>} figures By name.
   * @param {number} [at]
   */
  push(figures, at = performance.now()) {
    for (const [name, value] of Object.entries(figures)) {
      const kept = (this.#series.get(name) ?? []).filter((point) => at - point.at < KEPT_MS);
      this.#series.set(name, [...kept, { at, value: value ?? null }]);
    }
  }

  /** @param {string} name */
  of(name) {
    return this.#series.get(name) ?? [];
  }
}

/**
 * A line through points as an SVG path in a field of `width` by `height`: the newest at the right edge, two minutes ago at the left
 * one, zero at the bottom and the largest value at the top. It is broken where there is no value.
 * @param {Point[]} points
 * @param {number} width
 * @param {number} height
 */
export function line(points, width, height) {
  const newest = points.at(-1)?.at ?? 0;
  const { most } = span(points);
  let pen = 'M';
  return points.map(({ at, value }) => {
    if (value === null) {
      pen = 'M';
      return '';
    }
    const x = width * (1 - (newest - at) / KEPT_MS);
    const y = height * (1 - (most > 0 ? value / most : 0));
    const step = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = 'L';
    return step;
  }).join('');
}

/** @param {Point[]} points */
export function span(points) {
  const values = points.flatMap(({ value }) => (value === null ? [] : [value]));
  return { least: values.length ? Math.min(...values) : 0, most: values.length ? Math.max(...values) : 0, count: values.length };
}
