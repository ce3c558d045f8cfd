// What accompanies a map: the kernel of a chosen cell at its true extent, the directions of all kernels, and the bars
// of a channel vector.
import { isInside } from "./map_spec.js";
import {
  cellAt, cellsBox, clamp, kernelPulls, kernelTaps, lutColour, numberText, rangeOf, symmetric,
} from "./numbers.js";
import { make } from "./view.js";

/** @typedef {import("./canvas.js").Pen} Pen */
/** @typedef {import("./types").Cells} Cells */
/** @typedef {import("./types").GeometryEntry} Geometry */
/** @typedef {import("./types").KernelEntry} Kernel */
/** @typedef {import("./types").VectorEntry} Vector */
/** @typedef {import("./types").ViewerMessage} ViewerMessage */
/** @typedef {import("./numbers.js").Point} Point */
/** @typedef {{ kernel: Kernel, map: Cells }} KernelNow A kernel with its values at a step. */
/** @typedef {[number, number]} Cell Row and column. */

/**
 * The kernel of a stop: that of the module whose map (of this name) is shown, or the stop's own.
 * @type {(data: ViewerMessage, frame: import("./types").FrameEntry, name: string) => KernelNow | null}
 */
export function kernelOf(data, frame, name) {
  const kernel = data.kernels.find((k) => isInside(name, k.path)) || data.kernels.find((k) => k.name === frame.kernel);
  const map = kernel && kernel.steps.find((cells) => cells.step === frame.step);
  return map ? { kernel, map } : null;
}

/**
 * Colours reach equally far to both sides of the neutral value, over all cells of the step.
 * @param {KernelNow} now
 */
const scaleOf = ({ kernel, map }) => symmetric(rangeOf(map.values), kernel.neutral || 0);

/** @param {number[]} rgb */
const inkOn = (rgb) => (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 140 ? "#000000" : "#ffffff");

/** @param {number[]} rgb */
const css = (rgb) => `rgb(${rgb.join(" ")})`;

/**
 * A number with few digits, for a small square.
 * @param {number} value
 * @param {number} digits
 */
const short = (value, digits) => (Number.isFinite(value) ? String(Number(value.toPrecision(digits))) : "none");

/**
 * Lay the kernel of one cell over the picture.
 * @type {(pen: Pen, geometry: Geometry, now: KernelNow, cell: Cell, lut: Uint8Array) => void}
 */
export function drawKernel(pen, geometry, now, cell, lut) {
  const { kernel, map } = now;
  const scale = scaleOf(now);
  const centre = (kernel.k * kernel.k - 1) / 2;
  for (const tap of kernelTaps(geometry, kernel, map, cell)) {
    if (!tap.inside) {
      pen.outline(tap.box, "#ffffff", 1, [3, 3]);
      continue;
    }
    const rgb = lutColour(lut, scale, tap.value);
    pen.fill(tap.box, css(rgb), 0.88);
    if (tap.index === centre) pen.outline(tap.box, "#000000", 2.4);
    else pen.outline(tap.box, "#ffffff", 1);
    pen.label(short(tap.value, 2), tap.box, inkOn(rgb));
  }
  const { stride, dilation, k, reach } = kernel;
  if (reach === null || reach <= dilation * (k - 1) / 2) return;
  const [rows, columns] = [map.h * stride, map.w * stride];
  const [row, column] = [stride * cell[0], stride * cell[1]];
  const [top, left] = [Math.max(0, row - reach), Math.max(0, column - reach)];
  const [bottom, right] = [Math.min(rows, row + reach + 1), Math.min(columns, column + reach + 1)];
  pen.outline(cellsBox(geometry, top, left, bottom, right, rows, columns), "#ffb000", 1.6, [5, 4]);
}

/**
 * Draw the directions of all kernels, one arrow or hue per cell; the longest arrow fills its cell.
 * @type {(pen: Pen, geometry: Geometry, now: KernelNow, how: "arrows" | "hue") => void}
 */
export function drawDirections(pen, geometry, { kernel, map }, how) {
  const { h, w } = map;
  const pulls = kernelPulls(kernel, map);
  const sizes = Array.from({ length: h * w }, (_, i) => Math.hypot(pulls[i], pulls[h * w + i]));
  const most = rangeOf(sizes)[1];
  sizes.forEach((size, i) => {
    const row = Math.floor(i / w);
    const column = i % w;
    const box = cellsBox(geometry, row, column, row + 1, column + 1, h, w);
    const part = most > 0 ? size / most : 0;
    const angle = Math.atan2(pulls[h * w + i], pulls[i]);
    if (how === "arrows") {
      if (part >= 0.04) pen.arrow(box, part, angle);
    } else {
      pen.fill(box, `hsl(${(angle * 180 / Math.PI + 360) % 360} 90% 55% / ${0.75 * part})`);
    }
  });
}

/**
 * The kernel of a cell in words.
 * @type {(geometry: Geometry, now: KernelNow, cell: Cell | null) => string}
 */
export function kernelWords(geometry, { kernel, map }, cell) {
  const { title, dilation, reach, unit } = kernel;
  const lead = title.includes("dilation") ? title : `${title}, dilation ${dilation}`;
  const neutral = kernel.neutral || 0;
  if (!cell) {
    const isPlain = neutral === 1 && map.values.every((v) => v === 1);
    const plain = isPlain ? "exactly 1 everywhere, a plain convolution. " : "";
    const how = "click the picture, or press Shift with an arrow key on it, to see the kernel of one cell.";
    return `${lead}: ${plain}${how}`;
  }
  const [low, high] = rangeOf(kernelTaps(geometry, kernel, map, cell).map((tap) => tap.value));
  const [least, most] = kernel.bounds;
  const bounds = least === null || most === null ? "" : ` of ${numberText(least)} to ${numberText(most)}`;
  const middle = neutral === 1 ? "1 is plain convolution" : "0 is no weight";
  const what = low === neutral && high === neutral ? `exactly ${numberText(neutral)}` : middle;
  const place = `cell row ${cell[0] + 1}, column ${cell[1] + 1}`;
  const range = `${numberText(low)} to ${numberText(high)}${bounds} (${unit})`;
  const together = reach !== null && reach > dilation
    ? ` Dashed: joint reach of this and the previous levels, ${reach} cells to each side.` : "";
  return `${lead}: ${place} has ${range}; ${what}.${together}`;
}

/**
 * The kernel of a cell as numbers on its colours.
 * @type {(geometry: Geometry, now: KernelNow, cell: Cell, lut: Uint8Array) => HTMLSpanElement[]}
 */
export function kernelSquares(geometry, now, cell, lut) {
  const scale = scaleOf(now);
  return kernelTaps(geometry, now.kernel, now.map, cell).map((tap) => {
    if (!tap.inside) return make("span", "", "padding");
    const square = make("span", "", short(tap.value, 3));
    const rgb = lutColour(lut, scale, tap.value);
    square.style.background = css(rgb);
    square.style.color = inkOn(rgb);
    return square;
  });
}

/**
 * The centre of the cell beside a point's, or of the middle cell if there is no point yet. The move is to the right
 * and down, -1, 0 or 1 each.
 * @type {(geometry: Geometry, map: Cells, point: Point | null, move: [number, number]) => Point}
 */
export function nextCell(geometry, { h, w }, point, move) {
  const { seen } = geometry;
  const middle = /** @type {Point} */ ([(seen[0] + seen[2]) / 2, (seen[1] + seen[3]) / 2]);
  const [row, column] = (point && cellAt(geometry, point, h, w)) || cellAt(geometry, middle, h, w);
  const r = clamp(row + (point ? move[1] : 0), 0, h - 1);
  const c = clamp(column + (point ? move[0] : 0), 0, w - 1);
  const box = cellsBox(geometry, r, c, r + 1, c + 1, h, w);
  return [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2];
}

// ---------------------------------------------------------------- channel vectors

/**
 * Value from which the bars of a vector start.
 * @param {Vector} vector
 */
function baseOf({ neutral, values }) {
  const low = rangeOf(values)[0];
  return neutral ?? (low > 0 ? 0 : Math.max(low, 0));
}

/**
 * Draw a vector as bars, by index and sorted, on a canvas of that many screen pixels.
 * @type {(canvas: HTMLCanvasElement, vector: Vector, wide: number, ink: string) => void}
 */
export function drawVector(canvas, vector, wide, ink) {
  const { values } = vector;
  const tall = 84;
  const dots = Math.min(2, window.devicePixelRatio || 1);
  canvas.width = wide * dots;
  canvas.height = tall * dots;
  canvas.style.height = `${tall}px`;
  const c = canvas.getContext("2d");
  c.scale(dots, dots);
  const [low, high] = rangeOf(values);
  const base = baseOf(vector);
  const floor = Math.min(low, base);
  const extent = Math.max(high, base) - floor || 1;
  const half = (wide - 24) / 2;
  const y = (/** @type {number} */ v) => tall - 6 - (tall - 12) * (v - floor) / extent;
  [values, Float32Array.from(values).sort().reverse()].forEach((list, part) => {
    const left = part * (half + 24);
    const bar = half / list.length;
    c.fillStyle = part ? "#2aa18f" : "#4d8fc4";
    list.forEach((value, i) => {
      const [from, to] = [y(base), y(value)];
      const width = Math.max(1, bar - (bar > 3 ? 1 : 0));
      c.fillRect(left + i * bar, Math.min(from, to), width, Math.max(1, Math.abs(from - to)));
    });
    c.strokeStyle = ink;
    c.setLineDash([3, 3]);
    c.lineWidth = 1;
    c.beginPath();
    c.moveTo(left, y(base));
    c.lineTo(left + half, y(base));
    c.stroke();
    c.setLineDash([]);
  });
}

/**
 * A vector in words.
 * @param {Vector} vector
 */
export function vectorWords(vector) {
  const { title, unit, values, neutral } = vector;
  const [low, high] = rangeOf(values).map(numberText);
  const dashed = `dashed: ${neutral === null ? "" : "neutral "}${numberText(baseOf(vector))}`;
  const lists = `${values.length} channels, left by index, right sorted`;
  return `${title} (${unit}), ${lists}: ${low} to ${high}; ${dashed}. See the tab Channels below for each channel.`;
}
