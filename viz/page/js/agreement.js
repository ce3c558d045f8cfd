// Agreement of two maps: pure functions with the operations of viz/measures/agreement.py, so that page and files agree.
import { cellPositions, rangeOf, resample, roundEven, tapsAt } from "./numbers.js";

/** @typedef {import("./types").GeometryEntry} Geometry */
/** @typedef {import("./types").Cells} Cells */

const TOP_SHARE = 0.1;
const LEAST_POINTS = 3;

/**
 * @typedef {object} Agreement
 * @property {number} spearman Rank correlation; like the others, NaN if undefined.
 * @property {number} iou IoU of the strongest cells.
 * @property {number} share Shared part of the smaller set of strongest cells.
 * @property {number} rows Rows of the grid of points.
 * @property {number} columns
 * @property {string} reason Why there are no numbers.
 */

/** @param {Float32Array} values */
function ranksOf(values) {
  const order = Array.from(values.keys()).sort((i, j) => values[i] - values[j]);
  const ranks = new Float64Array(values.length);
  for (let i = 0; i < order.length;) {
    let j = i;
    while (j + 1 < order.length && values[order[j + 1]] === values[order[i]]) j++;
    for (let k = i; k <= j; k++) ranks[order[k]] = (i + j) / 2 + 1;
    i = j + 1;
  }
  return ranks;
}

/**
 * Rank correlation; NaN for a constant map or fewer than three values.
 * @type {(a: Float32Array, b: Float32Array) => number}
 */
export function spearmanOf(a, b) {
  if (a.length < LEAST_POINTS) return NaN;
  const x = ranksOf(a);
  const y = ranksOf(b);
  const middle = (a.length + 1) / 2;
  let xy = 0;
  let xx = 0;
  let yy = 0;
  for (let i = 0; i < x.length; i++) {
    const p = x[i] - middle;
    const q = y[i] - middle;
    xy += p * q;
    xx += p * p;
    yy += q * q;
  }
  const size = Math.sqrt(xx * yy);
  return size > 0 ? Math.min(1, Math.max(-1, xy / size)) : NaN;
}

/** @param {Float32Array} values */
function topCells(values) {
  const count = Math.max(1, Math.ceil(TOP_SHARE * values.length - 1e-9));
  const level = Array.from(values).sort((a, b) => b - a)[count - 1];
  return Array.from(values, (v) => v >= level);
}

/**
 * Overlap of the strongest tenth of two maps.
 * @type {(a: Float32Array, b: Float32Array) => { iou: number, share: number }}
 */
export function topOverlap(a, b) {
  const p = topCells(a);
  const q = topCells(b);
  const count = (/** @type {(v: boolean, i: number) => boolean} */ test) => p.filter(test).length;
  const both = count((v, i) => v && q[i]);
  const inP = count((v) => v);
  const inQ = q.filter((v) => v).length;
  return { iou: both / (inP + inQ - both), share: both / Math.min(inP, inQ) };
}

/**
 * The map at points of the picture, bilinear.
 * @param {Cells} map
 * @param {Geometry} geometry
 * @param {number[]} ys
 * @param {number[]} xs
 */
function sampleAt(map, geometry, ys, xs) {
  // At a cell's centre, rounding would leave its neighbour a weight of about 1e-16, which breaks ties.
  const at = (axis, cells, points) => (
    tapsAt(cellPositions(geometry, axis, cells, points).map((p) => Math.round(p * 1e9) / 1e9), cells, "bilinear")
  );
  const out = new Float32Array(ys.length * xs.length);
  resample(map, at(0, map.h, ys), at(1, map.w, xs), out, 0, xs.length, [-Infinity, Infinity]);
  return out;
}

/**
 * Height and width of a cell in picture pixels.
 * @param {Cells} map
 * @param {Geometry} geometry
 */
const cellSize = (map, { seen, placed, network }) => [
  (seen[3] - seen[1]) / (placed[3] - placed[1]) * network[0] / map.h,
  (seen[2] - seen[0]) / (placed[2] - placed[0]) * network[1] / map.w,
];

/**
 * Agreement of two maps where both networks saw the picture.
 * @type {(a: Cells | null, ga: Geometry, b: Cells | null, gb: Geometry) => Agreement}
 */
export function agreementOf(a, ga, b, gb) {
  const none = (reason, rows = 0, columns = 0) => ({ spearman: NaN, iou: NaN, share: NaN, rows, columns, reason });
  if (!a || !b) return none("One of the two has no value at this step.");
  const [x0, y0] = [0, 1].map((i) => Math.max(ga.seen[i], gb.seen[i], 0));
  const [x1, y1] = [2, 3].map((i) => Math.min(ga.seen[i], gb.seen[i], ga.picture[3 - i]));
  if (!(x1 > x0 && y1 > y0)) return none("The two networks saw no common part of the picture.");
  const [ah, aw] = cellSize(a, ga);
  const [bh, bw] = cellSize(b, gb);
  const rows = Math.max(1, roundEven((y1 - y0) / Math.min(ah, bh)));
  const columns = Math.max(1, roundEven((x1 - x0) / Math.min(aw, bw)));
  const ys = Array.from({ length: rows }, (_, i) => y0 + (i + 0.5) * ((y1 - y0) / rows));
  const xs = Array.from({ length: columns }, (_, i) => x0 + (i + 0.5) * ((x1 - x0) / columns));
  const p = sampleAt(a, ga, ys, xs);
  const q = sampleAt(b, gb, ys, xs);
  if (p.length < LEAST_POINTS) return none("Fewer than three points can be compared.", rows, columns);
  const isFlat = (values) => {
    const [low, high] = rangeOf(values);
    return !(high > low);
  };
  if (isFlat(p) || isFlat(q)) return none("A constant map has no ranks.", rows, columns);
  return { spearman: spearmanOf(p, q), ...topOverlap(p, q), rows, columns, reason: "" };
}
