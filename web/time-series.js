/** Values of the last two minutes, one per second, and the path of their graph. */

/** Two minutes, at one sample per second. */
const WINDOW_MS = 120_000;

/**
 * @typedef {object} Point
 * @property {number} at In `performance.now()` time.
 * @property {number | null} value Null if there was none.
 */

export class TimeSeries {
  /** @type {Map<string, Point[]>} */
  #series = new Map();

  /**
   * @param {Record<string, number | null | undefined>} values By name.
   * @param {number} [at]
   */
  push(values, at = performance.now()) {
    for (const [name, value] of Object.entries(values)) {
      const kept = (this.#series.get(name) ?? []).filter((point) => at - point.at < WINDOW_MS);
      this.#series.set(name, [...kept, { at, value: value ?? null }]);
    }
  }

  /** @param {string} name */
  of(name) {
    return this.#series.get(name) ?? [];
  }
}

/**
 * The SVG path of a graph in a field of `width` by `height`: now at the right edge, two minutes ago at the left, zero at the
 * bottom, the maximum at the top. It has gaps where there is no value.
 * @param {Point[]} points
 * @param {number} width
 * @param {number} height
 */
export function linePath(points, width, height) {
  const newest = points.at(-1)?.at ?? 0;
  const { max } = range(points);
  let pen = 'M';
  return points.map(({ at, value }) => {
    if (value === null) {
      pen = 'M';
      return '';
    }
    const x = width * (1 - (newest - at) / WINDOW_MS);
    const y = height * (1 - (max > 0 ? value / max : 0));
    const step = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = 'L';
    return step;
  }).join('');
}

/** @param {Point[]} points */
export function range(points) {
  const numbers = points.flatMap(({ value }) => (value === null ? [] : [value]));
  return { min: numbers.length ? Math.min(...numbers) : 0, max: numbers.length ? Math.max(...numbers) : 0, count: numbers.length };
}
