// Sampling, scales, colours, boxes, kernels: pure functions, no DOM. They repeat the operations of viz/geometry.py,
// viz/core/heatmap.py, viz/core/kernels.py and viz/measures/localization/boxes.py, so that the screen and an exported
// figure show the same picture. Tests compare the two.

/** @typedef {import("./types").GeometryEntry} Geometry */
/** @typedef {import("./types").Cells} Cells */
/** @typedef {import("./types").KernelEntry} Kernel */
/** @typedef {[number, number]} Point x and y in picture pixels. */
/** @typedef {[number, number]} Scale The values at the ends of a palette. */
/** @typedef {"cells" | "bilinear" | "bicubic"} Interpolation */
/** @typedef {{ x0: number, y0: number, x1: number, y1: number }} Box In picture pixels; x1 and y1 lie outside. */
/** @typedef {Box & { area: number, peak: number }} PartBox A box round a connected part. */

const CUBIC_A = -0.75;

/**
 * A number between two others.
 * @type {(value: number, low: number, high: number) => number}
 */
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/**
 * Python's rounding: halves go to the even neighbour.
 * @param {number} value
 */
export function roundEven(value) {
  const low = Math.floor(value);
  const part = value - low;
  if (part === 0.5) return low % 2 ? low + 1 : low;
  return part < 0.5 ? low : low + 1;
}

/**
 * A number for a sentence: four significant digits.
 * @param {number} value
 */
export function numberText(value) {
  if (!Number.isFinite(value)) return "none";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 10000 || size < 0.001 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

/**
 * A share as percent with one decimal.
 * @param {number} share
 */
export const percent = (share) => (100 * share).toFixed(1) + " %";

/**
 * Smallest and largest value, ignoring NaN; [0, 0] if there is none.
 * @type {(values: ArrayLike<number>) => Scale}
 */
export function rangeOf(values) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return low <= high ? [low, high] : [0, 0];
}

/**
 * Smallest and largest value over arrays.
 * @type {(arrays: ArrayLike<number>[]) => Scale}
 */
export function rangeOver(arrays) {
  const ranges = arrays.map(rangeOf);
  return [Math.min(...ranges.map((r) => r[0])), Math.max(...ranges.map((r) => r[1]))];
}

// ---------------------------------------------------------------- geometry

/** Indices of the low and high edge of an axis (0: rows, 1: columns) in a rectangle. */
const EDGES = [[1, 3], [0, 2]];

/**
 * Map a picture coordinate to the network's input; axis 0 is y, 1 is x.
 * @type {(geometry: Geometry, axis: number, value: number) => number}
 */
export function toNetwork({ seen, placed }, axis, value) {
  const [lo, hi] = EDGES[axis];
  return placed[lo] + (value - seen[lo]) * (placed[hi] - placed[lo]) / (seen[hi] - seen[lo]);
}

/**
 * Map a coordinate of the network's input to the picture.
 * @type {(geometry: Geometry, axis: number, value: number) => number}
 */
export function toPicture({ seen, placed }, axis, value) {
  const [lo, hi] = EDGES[axis];
  return seen[lo] + (value - placed[lo]) * (seen[hi] - seen[lo]) / (placed[hi] - placed[lo]);
}

/**
 * Whether the network saw a point.
 * @type {(geometry: Geometry, point: Point) => boolean}
 */
export const isSeen = ({ seen }, [x, y]) => x >= seen[0] && x < seen[2] && y >= seen[1] && y < seen[3];

/**
 * Whether the network saw the whole picture.
 * @param {Geometry} geometry
 */
export const seesAll = ({ seen, picture }) => (
  seen[0] <= 0 && seen[1] <= 0 && seen[2] >= picture[1] && seen[3] >= picture[0]
);

/**
 * [row, column] of the cell of an h x w map under a point; null outside the input crop.
 * @type {(geometry: Geometry, point: Point, h: number, w: number) => [number, number] | null}
 */
export function cellAt(geometry, point, h, w) {
  if (!isSeen(geometry, point)) return null;
  const row = Math.floor(toNetwork(geometry, 0, point[1]) * h / geometry.network[0]);
  const column = Math.floor(toNetwork(geometry, 1, point[0]) * w / geometry.network[1]);
  return [Math.min(row, h - 1), Math.min(column, w - 1)];
}

/**
 * Picture rectangle of rows r0..r1 and columns c0..c1 (exclusive) of a rows x columns grid over the input.
 * @type {(geometry: Geometry, r0: number, c0: number, r1: number, c1: number, rows: number, columns: number) => Box}
 */
export function cellsBox(geometry, r0, c0, r1, c1, rows, columns) {
  const high = geometry.network[0] / rows;
  const wide = geometry.network[1] / columns;
  return {
    x0: toPicture(geometry, 1, c0 * wide),
    y0: toPicture(geometry, 0, r0 * high),
    x1: toPicture(geometry, 1, c1 * wide),
    y1: toPicture(geometry, 0, r1 * high),
  };
}

/**
 * A point moved by arrow keys (-1, 0 or 1 to the right and down) by a fortieth of the picture, clipped to it; starts at
 * its centre. `full` is the picture's height and width.
 * @type {(point: Point | null, move: [number, number], full: [number, number]) => Point}
 */
export function movedPoint(point, move, full) {
  const [x, y] = point || [full[1] / 2, full[0] / 2];
  const reach = Math.max(1, Math.round(Math.max(...full) / 40));
  return [clamp(x + move[0] * reach, 0, full[1] - 1), clamp(y + move[1] * reach, 0, full[0] - 1)];
}

/**
 * The rectangle between two corners, on whole pixels; null if empty.
 * @type {(a: Point, b: Point) => Box | null}
 */
export function boxBetween(a, b) {
  const [x0, x1] = [a[0], b[0]].sort((p, q) => p - q).map(Math.round);
  const [y0, y1] = [a[1], b[1]].sort((p, q) => p - q).map(Math.round);
  return x1 > x0 && y1 > y0 ? { x0, y0, x1, y1 } : null;
}

// ---------------------------------------------------------------- interpolation

/** @typedef {{ taps: number, index: Int32Array, weight: Float64Array }} Taps Cells that each point samples. */

/** @param {number} d Distance in cells. */
function cubic(d) {
  const a = CUBIC_A;
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

/**
 * Positions of picture coordinates in cells along one axis of a map; the centre of the first cell is 0.
 * @type {(geometry: Geometry, axis: number, cells: number, points: ArrayLike<number>) => Float64Array}
 */
export function cellPositions({ seen, placed, network }, axis, cells, points) {
  const [lo, hi] = EDGES[axis];
  const scale = (placed[hi] - placed[lo]) / (seen[hi] - seen[lo]);
  const density = cells / network[axis];
  return Float64Array.from(points, (point) => (placed[lo] + (point - seen[lo]) * scale) * density - 0.5);
}

/**
 * Cells and weights that sample these positions; edges are repeated.
 * @type {(positions: Float64Array, cells: number, interpolation: Interpolation) => Taps}
 */
export function tapsAt(positions, cells, interpolation) {
  const taps = { cells: 1, bilinear: 2, bicubic: 4 }[interpolation];
  const index = new Int32Array(positions.length * taps);
  const weight = new Float64Array(positions.length * taps);
  positions.forEach((position, i) => {
    const base = Math.floor(taps === 1 ? position + 0.5 : position);
    const part = position - base;
    for (let t = 0; t < taps; t++) {
      const offset = taps === 4 ? t - 1 : t;
      index[i * taps + t] = clamp(base + offset, 0, cells - 1);
      weight[i * taps + t] = taps === 1 ? 1 : taps === 2 ? (t ? part : 1 - part) : cubic(Math.abs(part - offset));
    }
  });
  return { taps, index, weight };
}

/**
 * First and one-past-last pixel of a rendering whose centres lie in [low, high) of the picture.
 * @param {number} low
 * @param {number} high
 * @param {number} pixels
 * @param {number} size
 */
function centresInside(low, high, pixels, size) {
  const edge = (at) => Math.ceil(at * (pixels / size) - 0.5 - 1e-9);
  return [Math.max(edge(low), 0), Math.min(edge(high), pixels)];
}

/**
 * Cells and weights of every pixel of one axis that the network saw: `first` is the first of them.
 * @param {Geometry} geometry
 * @param {number} axis
 * @param {number} cells
 * @param {number} pixels
 * @param {Interpolation} interpolation
 * @returns {Taps & { first: number }}
 */
export function axisTaps(geometry, axis, cells, pixels, interpolation) {
  const size = geometry.picture[axis];
  const [lo, hi] = EDGES[axis];
  const [first, last] = centresInside(geometry.seen[lo], geometry.seen[hi], pixels, size);
  const centres = Array.from({ length: Math.max(0, last - first) }, (_, i) => (first + i + 0.5) * (size / pixels));
  return { first, ...tapsAt(cellPositions(geometry, axis, cells, centres), cells, interpolation) };
}

/**
 * Sample a map by rows, then by columns.
 * @param {Cells} map
 * @param {Taps} rows
 * @param {Taps} columns
 * @param {Float32Array} out Receives the samples, from `start` on, with `stride` from row to row.
 * @param {number} start
 * @param {number} stride
 * @param {Scale} range Results are clipped to it.
 */
export function resample({ values, w }, rows, columns, out, start, stride, [low, high]) {
  const line = new Float64Array(w);
  const height = rows.index.length / rows.taps;
  const width = columns.index.length / columns.taps;
  for (let y = 0; y < height; y++) {
    line.fill(0);
    for (let k = y * rows.taps; k < (y + 1) * rows.taps; k++) {
      const weight = rows.weight[k];
      const row = rows.index[k] * w;
      for (let c = 0; c < w; c++) line[c] += weight * values[row + c];
    }
    for (let x = 0, k = 0; x < width; x++) {
      let v = 0;
      for (const end = k + columns.taps; k < end; k++) v += columns.weight[k] * line[columns.index[k]];
      out[start + y * stride + x] = v < low ? low : v > high ? high : v;
    }
  }
}

/**
 * The map at the pixel centres of a width x height rendering; NaN outside the input crop.
 * @param {Cells} map
 * @param {Geometry} geometry
 * @param {number} width
 * @param {number} height
 * @param {Interpolation} interpolation
 */
export function sampleMap(map, geometry, width, height, interpolation) {
  const rows = axisTaps(geometry, 0, map.h, height, interpolation);
  const columns = axisTaps(geometry, 1, map.w, width, interpolation);
  const out = new Float32Array(width * height).fill(NaN);
  // Cubic overshoot is clipped, so that no colour shows a value beyond those of the cells.
  const range = interpolation === "bicubic" ? rangeOf(map.values) : [-Infinity, Infinity];
  resample(map, rows, columns, out, rows.first * width + columns.first, width, /** @type {Scale} */ (range));
  return out;
}

// ---------------------------------------------------------------- scales and colours

/**
 * The values at the ends of a map's colour scale.
 * @param {{ values: Float32Array, bounds: [number | null, number | null] }} map
 * @param {"raw" | "image" | "steps" | "fixed"} mode
 * @param {{ values: Float32Array }[]} together Maps that share the scale, for "steps".
 * @param {Scale | null} fixed For "fixed".
 * @returns {Scale}
 */
export function scaleFor(map, mode, together, fixed) {
  if (mode === "fixed") return fixed;
  if (mode === "steps") return rangeOver(together.map((m) => m.values));
  const [low, high] = rangeOf(map.values);
  return mode === "raw" ? [map.bounds[0] ?? low, map.bounds[1] ?? high] : [low, high];
}

/**
 * Centre a scale on the neutral value, for a diverging palette.
 * @type {(scale: Scale, neutral: number) => Scale}
 */
export function symmetric(scale, neutral) {
  const reach = Math.max(Math.abs(scale[0] - neutral), Math.abs(scale[1] - neutral));
  return [neutral - reach, neutral + reach];
}

/**
 * Blend sampled values over RGBA pixels of the photo.
 * @param {Uint8ClampedArray} photo
 * @param {Float32Array} values NaN leaves the photo.
 * @param {Scale} scale
 * @param {Uint8Array} lut
 * @param {number} opacity 0..1
 * @param {Uint8ClampedArray} out
 */
export function blend(photo, values, scale, lut, opacity, out) {
  const extent = scale[1] - scale[0];
  const alpha = Math.fround(opacity);
  const keep = Math.fround(1 - alpha);
  for (let i = 0, p = 0; i < values.length; i++, p += 4) {
    const v = values[i];
    out[p + 3] = 255;
    if (v !== v) {
      out[p] = photo[p];
      out[p + 1] = photo[p + 1];
      out[p + 2] = photo[p + 2];
      continue;
    }
    const unit = extent > 0 ? clamp((v - scale[0]) / extent, 0, 1) : 0;
    const k = 3 * Math.floor(unit * 255 + 0.5);
    out[p] = Math.floor(photo[p] * keep + lut[k] * alpha + 0.5);
    out[p + 1] = Math.floor(photo[p + 1] * keep + lut[k + 1] * alpha + 0.5);
    out[p + 2] = Math.floor(photo[p + 2] * keep + lut[k + 2] * alpha + 0.5);
  }
}

/**
 * Colour of one value; the middle of the palette if the scale is empty.
 * @type {(lut: Uint8Array, scale: Scale, value: number) => [number, number, number]}
 */
export function lutColour(lut, scale, value) {
  const extent = scale[1] - scale[0];
  const unit = extent > 0 ? clamp((value - scale[0]) / extent, 0, 1) : 0.5;
  const i = 3 * Math.floor(unit * 255 + 0.5);
  return [lut[i], lut[i + 1], lut[i + 2]];
}

// ---------------------------------------------------------------- boxes

/**
 * Mask of the values at or above a threshold (0..1 of their range); null for a constant map.
 * @type {(values: Float32Array, threshold: number) => Uint8Array | null}
 */
export function maskAt(values, threshold) {
  const [low, high] = rangeOf(values);
  if (!(high > low)) return null;
  const level = low + threshold * (high - low);
  const mask = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) mask[i] = values[i] >= level ? 1 : 0;
  return mask;
}

/**
 * Bounds of the connected component (8 neighbours) of a mask at a pixel, in mask pixels; its pixels are set to 2.
 * @type {(mask: Uint8Array, values: Float32Array, width: number, start: number) => PartBox}
 */
function partAt(mask, values, width, start) {
  const height = mask.length / width;
  const part = { x0: width, y0: height, x1: 0, y1: 0, area: 0, peak: -Infinity };
  const stack = [start];
  mask[start] = 2;
  while (stack.length) {
    const i = stack.pop();
    const x = i % width;
    const y = (i - x) / width;
    part.area++;
    if (values[i] > part.peak) part.peak = values[i];
    if (x < part.x0) part.x0 = x;
    if (x >= part.x1) part.x1 = x + 1;
    if (y < part.y0) part.y0 = y;
    if (y >= part.y1) part.y1 = y + 1;
    for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++) {
      for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++) {
        const n = ny * width + nx;
        if (mask[n] !== 1) continue;
        mask[n] = 2;
        stack.push(n);
      }
    }
  }
  return part;
}

/**
 * Bounding boxes of the connected components of a map at or above a threshold, largest first, in picture pixels.
 * @param {Float32Array} values width x height samples.
 * @param {number} width
 * @param {number} height
 * @param {number} threshold 0..1 of the range.
 * @param {"largest" | "all"} components
 * @param {number} minArea Smallest part, as a share of the picture.
 * @param {[number, number]} picture Height and width of the picture itself.
 * @returns {PartBox[]}
 */
export function boxesOf(values, width, height, threshold, components, minArea, picture) {
  const mask = maskAt(values, threshold);
  if (!mask) return [];
  const parts = [];
  for (let i = mask.indexOf(1); i >= 0; i = mask.indexOf(1, i + 1)) parts.push(partAt(mask, values, width, i));
  const kept = parts.sort((a, b) => b.area - a.area).filter((p) => p.area >= minArea * values.length);
  const fy = picture[0] / height;
  const fx = picture[1] / width;
  return (components === "largest" ? kept.slice(0, 1) : kept).map((p) => ({
    x0: roundEven(p.x0 * fx),
    y0: roundEven(p.y0 * fy),
    x1: roundEven(p.x1 * fx),
    y1: roundEven(p.y1 * fy),
    area: roundEven(p.area * fx * fy),
    peak: p.peak,
  }));
}

/**
 * Intersection over union.
 * @type {(a: Box, b: Box) => number}
 */
export function iou(a, b) {
  const w = Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0);
  const h = Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0);
  if (w <= 0 || h <= 0) return 0;
  const union = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - w * h;
  return union > 0 ? (w * h) / union : 0;
}

/**
 * Step filter (viz/measures/localization/tdam_rule.py): of two steps whose boxes overlap by more than 0.5 IoU, the less
 * probable takes over the other's result. Returns, for each step, the entry that stands for it.
 * @template {{ probability: number, box: Box | null }} Entry
 * @param {Entry[]} entries
 * @returns {Entry[]}
 */
export function iouFilter(entries) {
  /** @type {Entry[]} */
  const stored = [];
  for (const incoming of entries) {
    let entry = incoming;
    for (let i = 0; i < stored.length; i++) {
      if (!stored[i].box || !entry.box || iou(stored[i].box, entry.box) <= 0.5) continue;
      if (entry.probability > stored[i].probability) stored[i] = entry;
      else entry = stored[i];
    }
    stored.push(entry);
  }
  return stored;
}

// ---------------------------------------------------------------- per-pixel kernels, as in viz/core/kernels.py

/**
 * @typedef {object} KernelTap One position of a cell's kernel.
 * @property {number} index
 * @property {number} row
 * @property {number} column
 * @property {number} value
 * @property {Box} box
 * @property {boolean} inside Whether it lies in the input rather than in the padding.
 */

/**
 * The taps of one cell's kernel.
 * @param {Geometry} geometry
 * @param {Pick<Kernel, "k" | "dilation" | "stride">} kernel
 * @param {Cells} map
 * @param {[number, number]} cell
 * @returns {KernelTap[]}
 */
export function kernelTaps(geometry, { k, dilation, stride }, { h, w, values }, cell) {
  const half = (k - 1) / 2;
  const rows = h * stride;
  const columns = w * stride;
  return Array.from({ length: k * k }, (_, j) => {
    const row = stride * cell[0] + dilation * (Math.floor(j / k) - half);
    const column = stride * cell[1] + dilation * (j % k - half);
    return {
      index: j,
      row,
      column,
      value: values[j * h * w + cell[0] * w + cell[1]],
      box: cellsBox(geometry, row, column, row + 1, column + 1, rows, columns),
      inside: row >= 0 && row < rows && column >= 0 && column < columns,
    };
  });
}

/**
 * Direction of each cell's kernel: 2 x h x w, x to the right and y down.
 * @type {(kernel: Pick<Kernel, "k" | "neutral">, map: Cells) => Float32Array}
 */
export function kernelPulls({ k, neutral }, { h, w, values }) {
  const half = (k - 1) / 2;
  const cells = h * w;
  const out = new Float32Array(2 * cells);
  for (let i = 0; i < cells; i++) {
    let x = 0;
    let y = 0;
    for (let j = 0; j < k * k; j++) {
      const dx = j % k - half;
      const dy = Math.floor(j / k) - half;
      const length = Math.hypot(dx, dy);
      if (!length) continue;
      const by = values[j * cells + i] - (neutral || 0);
      x += by * dx / length;
      y += by * dy / length;
    }
    out[i] = x / (k * k - 1);
    out[cells + i] = y / (k * k - 1);
  }
  return out;
}
