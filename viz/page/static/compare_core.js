// Numbers of a comparison: the lines of viz/measures/agreement.py, so that the page and the files agree.
const TOP_SHARE = 0.1, LEAST_POINTS = 3;

// Python's rounding: halves go to the even neighbour.
function roundEven(v) {
  const low = Math.floor(v), part = v - low;
  return part < 0.5 ? low : part > 0.5 ? low + 1 : low % 2 ? low + 1 : low;
}

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

function spearmanOf(a, b) {
  if (a.length < LEAST_POINTS) return NaN;
  const x = ranksOf(a), y = ranksOf(b), middle = (a.length + 1) / 2;
  let xy = 0, xx = 0, yy = 0;
  for (let i = 0; i < x.length; i++) {
    const p = x[i] - middle, q = y[i] - middle;
    xy += p * q; xx += p * p; yy += q * q;
  }
  const size = Math.sqrt(xx * yy);
  return size > 0 ? Math.min(1, Math.max(-1, xy / size)) : NaN;
}

function topCells(values) {
  const count = Math.max(1, Math.ceil(TOP_SHARE * values.length - 1e-9));
  const level = Array.from(values).sort((a, b) => b - a)[count - 1];
  return Array.from(values, (v) => v >= level);
}

function topOverlap(a, b) {
  const p = topCells(a), q = topCells(b);
  let both = 0, either = 0, inP = 0, inQ = 0;
  for (let i = 0; i < p.length; i++) {
    both += p[i] && q[i]; either += p[i] || q[i]; inP += p[i]; inQ += q[i];
  }
  return { iou: both / either, share: both / Math.min(inP, inQ) };
}

// Cell and weight pairs for one axis of a map, at points of the picture; bilinear, edges repeated.
function tapsAt(geometry, axis, cells, points) {
  const lo = axis === 0 ? 1 : 0, hi = axis === 0 ? 3 : 2;
  const scale = (geometry.placed[hi] - geometry.placed[lo]) / (geometry.seen[hi] - geometry.seen[lo]);
  return points.map((point) => {
    const network = geometry.placed[lo] + (point - geometry.seen[lo]) * scale;
    // At a cell's centre rounding would leave its neighbour a weight of some 1e-16, which breaks ties.
    const position = Math.round((network * (cells / geometry.network[axis]) - 0.5) * 1e9) / 1e9;
    const base = Math.floor(position), part = position - base;
    const inside = (i) => Math.min(Math.max(i, 0), cells - 1);
    return [[inside(base), 1 - part], [inside(base + 1), part]];
  });
}

function sampleAt(m, geometry, ys, xs) {
  const rows = tapsAt(geometry, 0, m.h, ys), columns = tapsAt(geometry, 1, m.w, xs);
  const out = new Float32Array(ys.length * xs.length);
  rows.forEach((row, y) => columns.forEach((column, x) => {
    let v = 0;
    for (const [c, wc] of column) {
      let line = 0;
      for (const [r, wr] of row) line += wr * m.values[r * m.w + c];
      v += wc * line;
    }
    out[y * xs.length + x] = v;
  }));
  return out;
}

function cellSize(m, g) {
  return [
    (g.seen[3] - g.seen[1]) / (g.placed[3] - g.placed[1]) * g.network[0] / m.h,
    (g.seen[2] - g.seen[0]) / (g.placed[2] - g.placed[0]) * g.network[1] / m.w,
  ];
}

// Agreement of two maps {values, h, w} under their geometries; either may be null.
function agreementOf(a, ga, b, gb) {
  const none = (reason) => ({ spearman: NaN, iou: NaN, share: NaN, rows: 0, columns: 0, reason });
  if (!a || !b) return none("One of the two has no value at this step.");
  const x0 = Math.max(ga.seen[0], gb.seen[0], 0), y0 = Math.max(ga.seen[1], gb.seen[1], 0);
  const x1 = Math.min(ga.seen[2], gb.seen[2], ga.picture[1]), y1 = Math.min(ga.seen[3], gb.seen[3], ga.picture[0]);
  if (!(x1 > x0 && y1 > y0)) return none("The two networks saw no common part of the picture.");
  const [ah, aw] = cellSize(a, ga), [bh, bw] = cellSize(b, gb);
  const rows = Math.max(1, roundEven((y1 - y0) / Math.min(ah, bh))), columns = Math.max(1, roundEven((x1 - x0) / Math.min(aw, bw)));
  const ys = Array.from({ length: rows }, (_, i) => y0 + (i + 0.5) * ((y1 - y0) / rows));
  const xs = Array.from({ length: columns }, (_, i) => x0 + (i + 0.5) * ((x1 - x0) / columns));
  const p = sampleAt(a, ga, ys, xs), q = sampleAt(b, gb, ys, xs);
  if (p.length < LEAST_POINTS) return { ...none("Fewer than three points can be compared."), rows, columns };
  const flat = (v) => { const [low, high] = rangeOf(v); return !(high > low); };
  if (flat(p) || flat(q)) return { ...none("A constant map has no ranks."), rows, columns };
  return { spearman: spearmanOf(p, q), ...topOverlap(p, q), rows, columns, reason: "" };
}
