// Numbers of the viewer: sampling, scales, colours, boxes. Pure functions, no DOM.
// Every line repeats an operation of viz/geometry.py, viz/core/heatmap.py or viz/measures/localization/boxes.py, so that the screen
// and an exported figure show the same picture; a test compares the two pixel by pixel.
const CUBIC_A = -0.75;

function decodeFloats(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}

function decodeBytes(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// First and one-past-last pixel of a rendering whose centres lie in [low, high) of the picture.
function centresInside(low, high, pixels, size) {
  const scale = pixels / size;
  const first = Math.ceil(low * scale - 0.5 - 1e-9);
  const last = Math.ceil(high * scale - 0.5 - 1e-9);
  return [Math.max(first, 0), Math.min(last, pixels)];
}

function cubic(d) {
  const a = CUBIC_A;
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

// For each pixel centre that the network saw: the cells it samples and their weights.
function axisTaps(geometry, axis, cells, pixels, interpolation) {
  const lo = axis === 0 ? 1 : 0, hi = axis === 0 ? 3 : 2;
  const size = geometry.picture[axis], network = geometry.network[axis];
  const [first, last] = centresInside(geometry.seen[lo], geometry.seen[hi], pixels, size);
  const scale = (geometry.placed[hi] - geometry.placed[lo]) / (geometry.seen[hi] - geometry.seen[lo]);
  const taps = interpolation === "cells" ? 1 : interpolation === "bilinear" ? 2 : 4;
  const count = Math.max(0, last - first);
  const index = new Int32Array(count * taps), weight = new Float64Array(count * taps);
  for (let i = 0; i < count; i++) {
    const centre = (first + i + 0.5) * (size / pixels);
    const position = (geometry.placed[lo] + (centre - geometry.seen[lo]) * scale) * (cells / network) - 0.5;
    const base = Math.floor(position), f = position - base;
    for (let t = 0; t < taps; t++) {
      let cell, w;
      if (taps === 1) { cell = Math.floor(position + 0.5); w = 1; }
      else if (taps === 2) { cell = base + t; w = t === 0 ? 1 - f : f; }
      else { cell = base + t - 1; w = cubic(Math.abs(f - (t - 1))); }
      index[i * taps + t] = Math.min(Math.max(cell, 0), cells - 1);
      weight[i * taps + t] = w;
    }
  }
  return { first, last, taps, index, weight };
}

function rangeOf(values) {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return low <= high ? [low, high] : [0, 0];
}

// The map at the pixel centres of a width x height rendering; NaN where the network saw nothing.
function sampleMap(values, h, w, geometry, width, height, interpolation) {
  const rows = axisTaps(geometry, 0, h, height, interpolation);
  const cols = axisTaps(geometry, 1, w, width, interpolation);
  const out = new Float32Array(width * height).fill(NaN);
  const line = new Float64Array(w);
  const [low, high] = rangeOf(values);
  for (let y = rows.first; y < rows.last; y++) {
    line.fill(0);
    for (let t = 0; t < rows.taps; t++) {
      const k = (y - rows.first) * rows.taps + t, row = rows.index[k] * w, weight = rows.weight[k];
      for (let c = 0; c < w; c++) line[c] += weight * values[row + c];
    }
    for (let x = cols.first; x < cols.last; x++) {
      let v = 0;
      for (let t = 0; t < cols.taps; t++) {
        const k = (x - cols.first) * cols.taps + t;
        v += cols.weight[k] * line[cols.index[k]];
      }
      // Cubic overshoot is clipped: a colour never stands for a value that no cell has.
      out[y * width + x] = cols.taps === 4 ? Math.min(Math.max(v, low), high) : v;
    }
  }
  return out;
}

// The numbers between which colours run.
function scaleFor(map, mode, together, fixed) {
  if (mode === "fixed") return fixed;
  if (mode === "steps") {
    const all = together.map((m) => rangeOf(m.values));
    return [Math.min(...all.map((r) => r[0])), Math.max(...all.map((r) => r[1]))];
  }
  let [low, high] = rangeOf(map.values);
  if (mode === "raw") {
    if (map.bounds[0] !== null) low = map.bounds[0];
    if (map.bounds[1] !== null) high = map.bounds[1];
  }
  return [low, high];
}

// A diverging palette has its middle on the neutral value: the scale reaches equally far to both sides.
function symmetric(scale, neutral) {
  const reach = Math.max(Math.abs(scale[0] - neutral), Math.abs(scale[1] - neutral));
  return [neutral - reach, neutral + reach];
}

// Lay sampled values over RGBA pixels of the photo, in place of `out`.
function blend(photo, values, scale, lut, opacity, out) {
  const extent = scale[1] - scale[0], keep = Math.fround(1 - Math.fround(opacity)), alpha = Math.fround(opacity);
  for (let i = 0, p = 0; i < values.length; i++, p += 4) {
    const v = values[i];
    if (v !== v) {
      out[p] = photo[p]; out[p + 1] = photo[p + 1]; out[p + 2] = photo[p + 2]; out[p + 3] = 255;
      continue;
    }
    const unit = extent > 0 ? Math.min(Math.max((v - scale[0]) / extent, 0), 1) : 0;
    const k = 3 * Math.floor(unit * 255 + 0.5);
    out[p] = Math.floor(photo[p] * keep + lut[k] * alpha + 0.5);
    out[p + 1] = Math.floor(photo[p + 1] * keep + lut[k + 1] * alpha + 0.5);
    out[p + 2] = Math.floor(photo[p + 2] * keep + lut[k + 2] * alpha + 0.5);
    out[p + 3] = 255;
  }
}

// Level that a threshold (0..1 of the seen range) means, and the mask of pixels at or above it.
function maskAt(values, threshold) {
  const [low, high] = rangeOf(values);
  if (!(high > low)) return null;
  const level = low + threshold * (high - low);
  const mask = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) mask[i] = values[i] >= level ? 1 : 0;
  return { level, mask };
}

// Rectangles round the connected parts (8 neighbours) of a mask, largest first, in picture pixels.
function boxesOf(values, width, height, threshold, components, minArea, picture) {
  const found = maskAt(values, threshold);
  if (!found) return [];
  const mask = found.mask, parts = [], stack = [];
  for (let start = 0; start < mask.length; start++) {
    if (mask[start] !== 1) continue;
    let x0 = width, y0 = height, x1 = -1, y1 = -1, area = 0, peak = -Infinity;
    mask[start] = 2;
    stack.push(start);
    while (stack.length) {
      const i = stack.pop(), x = i % width, y = (i - x) / width;
      area++;
      if (values[i] > peak) peak = values[i];
      if (x < x0) x0 = x; if (x > x1) x1 = x;
      if (y < y0) y0 = y; if (y > y1) y1 = y;
      for (let dy = -1; dy <= 1; dy++) {
        const ny = y + dy;
        if (ny < 0 || ny >= height) continue;
        for (let dx = -1; dx <= 1; dx++) {
          const nx = x + dx;
          if (nx < 0 || nx >= width) continue;
          const n = ny * width + nx;
          if (mask[n] === 1) { mask[n] = 2; stack.push(n); }
        }
      }
    }
    parts.push({ x0, y0, x1: x1 + 1, y1: y1 + 1, area, peak });
  }
  parts.sort((a, b) => b.area - a.area);
  const kept = parts.filter((p) => p.area >= minArea * values.length);
  const fy = picture[0] / height, fx = picture[1] / width;
  return (components === "largest" ? kept.slice(0, 1) : kept).map((p) => ({
    x0: Math.round(p.x0 * fx), y0: Math.round(p.y0 * fy), x1: Math.round(p.x1 * fx), y1: Math.round(p.y1 * fy),
    area: Math.round(p.area * fx * fy), peak: p.peak,
  }));
}

function iou(a, b) {
  const w = Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0), h = Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0);
  if (w <= 0 || h <= 0) return 0;
  const union = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - w * h;
  return union > 0 ? (w * h) / union : 0;
}

// TDAM's step filter: of two steps whose boxes overlap by more than 0.5 IoU, the less probable takes over the other's
// result. Entries {step, probability, box}; returns, for each step, the entry that stands for it.
function iouFilter(entries) {
  const stored = [];
  for (const incoming of entries) {
    let entry = incoming;
    for (let i = 0; i < stored.length; i++) {
      if (!stored[i].box || !entry.box || iou(stored[i].box, entry.box) <= 0.5) continue;
      if (entry.probability > stored[i].probability) stored[i] = entry; else entry = stored[i];
    }
    stored.push(entry);
  }
  return stored;
}

function number(v) {
  if (!Number.isFinite(v)) return "none";
  if (v === 0) return "0";
  const a = Math.abs(v);
  if (a >= 10000 || a < 0.001) return v.toExponential(2);
  return String(Number(v.toPrecision(4)));
}

// ---------------------------------------------------------------- per-pixel kernels, as in viz/core/kernels.py

// Picture point to network point and back, one axis at a time (0: rows, 1: columns).
function toNetwork(geometry, axis, value) {
  const lo = axis === 0 ? 1 : 0, hi = axis === 0 ? 3 : 2, s = geometry.seen, p = geometry.placed;
  return p[lo] + (value - s[lo]) * (p[hi] - p[lo]) / (s[hi] - s[lo]);
}

function toPicture(geometry, axis, value) {
  const lo = axis === 0 ? 1 : 0, hi = axis === 0 ? 3 : 2, s = geometry.seen, p = geometry.placed;
  return s[lo] + (value - p[lo]) * (s[hi] - s[lo]) / (p[hi] - p[lo]);
}

// [row, column] of the cell of an h x w map under a picture point, or null where the network saw nothing.
function cellAt(geometry, point, h, w) {
  const [x, y] = point, s = geometry.seen;
  if (x < s[0] || x >= s[2] || y < s[1] || y >= s[3]) return null;
  const row = Math.floor(toNetwork(geometry, 0, y) * h / geometry.network[0]);
  const col = Math.floor(toNetwork(geometry, 1, x) * w / geometry.network[1]);
  return [Math.min(row, h - 1), Math.min(col, w - 1)];
}

// Rectangle in picture pixels of rows r0..r1 and columns c0..c1 (exclusive) of a rows x columns grid over the input.
function cellsBox(geometry, r0, c0, r1, c1, rows, columns) {
  const high = geometry.network[0] / rows, wide = geometry.network[1] / columns;
  return {
    x0: toPicture(geometry, 1, c0 * wide), y0: toPicture(geometry, 0, r0 * high),
    x1: toPicture(geometry, 1, c1 * wide), y1: toPicture(geometry, 0, r1 * high),
  };
}

// The taps of one cell's kernel: {index, row, column, value, box, inside}.
function kernelTaps(geometry, kernel, map, cell) {
  const { k, dilation, stride } = kernel, { h, w, values } = map, half = (k - 1) / 2, taps = [];
  const rows = h * stride, columns = w * stride;
  for (let j = 0; j < k * k; j++) {
    const row = stride * cell[0] + dilation * (Math.floor(j / k) - half), column = stride * cell[1] + dilation * (j % k - half);
    taps.push({
      index: j, row, column, value: values[j * h * w + cell[0] * w + cell[1]],
      box: cellsBox(geometry, row, column, row + 1, column + 1, rows, columns),
      inside: row >= 0 && row < rows && column >= 0 && column < columns,
    });
  }
  return taps;
}

// Which way each cell's kernel pulls: Float32Array 2 x h x w, x to the right and y down.
function kernelPulls(kernel, map) {
  const { k } = kernel, { h, w, values } = map, half = (k - 1) / 2, cells = h * w, neutral = kernel.neutral || 0;
  const out = new Float32Array(2 * cells);
  for (let i = 0; i < cells; i++) {
    let x = 0, y = 0;
    for (let j = 0; j < k * k; j++) {
      const dx = j % k - half, dy = Math.floor(j / k) - half, length = Math.hypot(dx, dy);
      if (!length) continue;
      const by = values[j * cells + i] - neutral;
      x += by * dx / length; y += by * dy / length;
    }
    out[i] = x / (k * k - 1); out[cells + i] = y / (k * k - 1);
  }
  return out;
}
