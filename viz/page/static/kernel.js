// What lies beside a map: the kernel of a chosen cell at its true reach, the directions of all kernels, and the bars of
// a channel vector. Uses `$`, `state`, `LUTS`, `draw` and the helpers of viewer.js, which stands below.

// The kernel that the stop shown belongs to: its own, or that of the module whose map is chosen.
function kernelNow() {
  const data = state.data;
  if (!data || !data.kernels.length) return null;
  const frame = data.frames[state.stop - 1], name = nameAt(state.stop);
  const inside = (k) => name.includes(k.path + ".");
  const kernel = data.kernels.find(inside) || data.kernels.find((k) => k.name === frame.kernel);
  const map = kernel && kernel.steps.find((s) => s.step === frame.step);
  return map ? { kernel, map } : null;
}

// Colours of kernel values reach equally far to both sides of the neutral value, over all cells of the step.
function kernelScale(kernel, map) {
  return symmetric(rangeOf(map.values), kernel.neutral === null ? 0 : kernel.neutral);
}

function lutColour(lut, scale, value) {
  const extent = scale[1] - scale[0], unit = extent > 0 ? Math.min(Math.max((value - scale[0]) / extent, 0), 1) : 0.5;
  const i = 3 * Math.floor(unit * 255 + 0.5);
  return [lut[i], lut[i + 1], lut[i + 2]];
}

function inkOn(rgb) {
  return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 140 ? "#000000" : "#ffffff";
}

// Three significant digits: what a small square has room for.
function short(v) {
  return Number.isFinite(v) ? String(Number(v.toPrecision(3))) : "none";
}

function paintKernel(c, fx, fy, unit) {
  const now = kernelNow();
  if (!now) return;
  const { kernel, map } = now, geometry = state.data.geometry;
  paintDirections(c, now, fx, fy, unit);
  const cell = $("showkernel").checked && state.point ? cellAt(geometry, state.point, map.h, map.w) : null;
  if (!cell) return;
  const scale = kernelScale(kernel, map), lut = LUTS.diverging, centre = (kernel.k * kernel.k - 1) / 2;
  for (const tap of kernelTaps(geometry, kernel, map, cell)) {
    const x = tap.box.x0 * fx, y = tap.box.y0 * fy, w = (tap.box.x1 - tap.box.x0) * fx, h = (tap.box.y1 - tap.box.y0) * fy;
    if (!tap.inside) {
      c.setLineDash([3 * unit, 3 * unit]);
      stroke(c, x, y, x + w, y + h, "#ffffff", unit);
      c.setLineDash([]);
      continue;
    }
    const rgb = lutColour(lut, scale, tap.value);
    c.globalAlpha = 0.88;
    c.fillStyle = `rgb(${rgb.join(" ")})`;
    c.fillRect(x, y, w, h);
    c.globalAlpha = 1;
    stroke(c, x, y, x + w, y + h, tap.index === centre ? "#000000" : "#ffffff", (tap.index === centre ? 2.4 : 1) * unit);
    const text = String(Number(tap.value.toPrecision(2))), size = Math.min(12 * unit, 0.42 * h, 1.45 * w / text.length);
    if (size >= 7 * unit) {
      c.font = `600 ${size}px system-ui, sans-serif`;
      c.textAlign = "center"; c.textBaseline = "middle"; c.fillStyle = inkOn(rgb);
      c.fillText(text, x + w / 2, y + h / 2);
      c.textAlign = "start";
    }
  }
  if (kernel.reach !== null && kernel.reach > kernel.dilation * (kernel.k - 1) / 2) {
    const s = kernel.stride, rows = map.h * s, columns = map.w * s, r = s * cell[0], q = s * cell[1], n = kernel.reach;
    const box = cellsBox(geometry, Math.max(0, r - n), Math.max(0, q - n), Math.min(rows, r + n + 1), Math.min(columns, q + n + 1), rows, columns);
    c.setLineDash([5 * unit, 4 * unit]);
    stroke(c, box.x0 * fx, box.y0 * fy, box.x1 * fx, box.y1 * fy, "#ffb000", 1.6 * unit);
    c.setLineDash([]);
  }
}

function directionsNow() {
  const chosen = $("directions").value, frame = state.data.frames[state.stop - 1];
  return chosen === "story" ? (storyShown() && frame.arrows ? "arrows" : "off") : chosen;
}

// Arrows or hues, one a cell; the longest arrow fills its cell.
function paintDirections(c, { kernel, map }, fx, fy, unit) {
  const how = directionsNow();
  if (how === "off") return;
  const pulls = kernelPulls(kernel, map), { h, w } = map, cells = h * w, geometry = state.data.geometry;
  let most = 0;
  for (let i = 0; i < cells; i++) most = Math.max(most, Math.hypot(pulls[i], pulls[cells + i]));
  for (let i = 0; i < cells; i++) {
    const x = pulls[i], y = pulls[cells + i], part = most > 0 ? Math.hypot(x, y) / most : 0;
    const row = Math.floor(i / w), column = i % w, box = cellsBox(geometry, row, column, row + 1, column + 1, h, w);
    const wide = (box.x1 - box.x0) * fx, high = (box.y1 - box.y0) * fy;
    if (how === "hue") {
      c.fillStyle = `hsl(${(Math.atan2(y, x) * 180 / Math.PI + 360) % 360} 90% 55% / ${0.75 * part})`;
      c.fillRect(box.x0 * fx, box.y0 * fy, wide, high);
      continue;
    }
    if (part < 0.04) continue;
    const mx = (box.x0 + box.x1) / 2 * fx, my = (box.y0 + box.y1) / 2 * fy, size = 0.45 * Math.min(wide, high) * part;
    const angle = Math.atan2(y, x);
    for (const [colour, line] of [["#000000", 3.2 * unit], ["#ffffff", 1.5 * unit]]) {
      c.strokeStyle = colour; c.lineWidth = line; c.lineCap = "round";
      c.beginPath();
      const tx = mx + size * Math.cos(angle), ty = my + size * Math.sin(angle);
      c.moveTo(mx - size * Math.cos(angle), my - size * Math.sin(angle)); c.lineTo(tx, ty);
      for (const turn of [2.6, -2.6]) { c.moveTo(tx, ty); c.lineTo(tx + 0.6 * size * Math.cos(angle + turn), ty + 0.6 * size * Math.sin(angle + turn)); }
      c.stroke();
    }
  }
}

// The same kernel in numbers; arrow keys on this grid move the chosen cell.
function paintKernelPanel() {
  const now = kernelNow(), panel = $("kernel");
  const some = state.data.kernels.length > 0;
  for (const label of root.querySelectorAll(".sl-kernelonly")) label.hidden = !some;
  panel.hidden = !now || !$("showkernel").checked;
  if (panel.hidden) return;
  const { kernel, map } = now, grid = $("kgrid"), said = $("ksaid"), lead = kernel.title.includes("dilation") ? kernel.title : `${kernel.title}, dilation ${kernel.dilation}`;
  const neutral = kernel.neutral === null ? 0 : kernel.neutral, plain = neutral === 1 && rangeOf(map.values).every((v) => v === 1);
  const cell = state.point ? cellAt(state.data.geometry, state.point, map.h, map.w) : null;
  grid.hidden = !cell;
  if (!cell) {
    said.textContent = `${lead}: ${plain ? "exactly 1 everywhere, a plain convolution. " : ""}click the picture, or press Shift with an arrow key on it, to see the kernel of one cell.`;
    return;
  }
  const taps = kernelTaps(state.data.geometry, kernel, map, cell), scale = kernelScale(kernel, map);
  const [low, high] = rangeOf(taps.map((t) => t.value));
  const bounds = kernel.bounds.every((b) => b !== null) ? ` of ${number(kernel.bounds[0])} to ${number(kernel.bounds[1])}` : "";
  const reach = kernel.reach !== null && kernel.reach > kernel.dilation ? ` Dashed: what this and the levels before reach together, ${kernel.reach} cells to each side.` : "";
  const middle = neutral === 1 ? "1 is plain convolution" : "0 weighs nothing";
  said.textContent = `${lead}: cell row ${cell[0] + 1}, column ${cell[1] + 1} has ${number(low)} to ${number(high)}${bounds} (${kernel.unit}); ${low === neutral && high === neutral ? `exactly ${number(neutral)}` : middle}.${reach}`;
  grid.style.setProperty("--k", kernel.k);
  grid.replaceChildren(...taps.map((tap) => {
    const span = document.createElement("span"), rgb = lutColour(LUTS.diverging, scale, tap.value);
    span.textContent = tap.inside ? short(tap.value) : "padding";
    if (tap.inside) { span.style.background = `rgb(${rgb.join(" ")})`; span.style.color = inkOn(rgb); }
    return span;
  }));
  grid.dataset.row = String(cell[0]);
  grid.dataset.column = String(cell[1]);
}

// One cell further; from the middle where none is chosen yet.
function moveCell(dx, dy) {
  const now = kernelNow();
  if (!now) return false;
  const { h, w } = now.map, g = state.data.geometry;
  const middle = [(g.seen[0] + g.seen[2]) / 2, (g.seen[1] + g.seen[3]) / 2];
  const cell = (state.point && cellAt(g, state.point, h, w)) || cellAt(g, middle, h, w);
  const row = Math.min(Math.max(cell[0] + (state.point ? dy : 0), 0), h - 1), column = Math.min(Math.max(cell[1] + (state.point ? dx : 0), 0), w - 1);
  const box = cellsBox(g, row, column, row + 1, column + 1, h, w);
  state.point = [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2];
  state.cursor = state.point;
  return true;
}

// ---------------------------------------------------------------- channel vectors

function paintVector() {
  const frame = state.data.frames[state.stop - 1], vector = storyShown() ? frame.vector : null, box = $("vector");
  box.hidden = !vector;
  if (!vector) return;
  vector.values = vector.values || decodeFloats(vector.data);
  const values = vector.values, [low, high] = rangeOf(values), sorted = Float32Array.from(values).sort().reverse();
  const canvas = $("bars"), dots = Math.min(2, window.devicePixelRatio || 1), wide = Math.max(200, box.clientWidth), tall = 84;
  canvas.width = wide * dots; canvas.height = tall * dots;
  canvas.style.height = tall + "px";
  const c = canvas.getContext("2d"), ink = getComputedStyle(root).color;
  c.scale(dots, dots);
  const base = vector.neutral !== null ? vector.neutral : low > 0 ? 0 : Math.max(low, 0);
  const floor = Math.min(low, base), extent = Math.max(high, base) - floor || 1, half = (wide - 24) / 2;
  const y = (v) => tall - 6 - (tall - 12) * (v - floor) / extent;
  [values, sorted].forEach((list, part) => {
    const left = part * (half + 24), bar = half / list.length;
    c.fillStyle = part ? "#2aa18f" : "#4d8fc4";
    for (let i = 0; i < list.length; i++) {
      const a = y(base), b = y(list[i]);
      c.fillRect(left + i * bar, Math.min(a, b), Math.max(1, bar - (bar > 3 ? 1 : 0)), Math.max(1, Math.abs(a - b)));
    }
    c.strokeStyle = ink; c.setLineDash([3, 3]); c.lineWidth = 1;
    c.beginPath(); c.moveTo(left, y(base)); c.lineTo(left + half, y(base)); c.stroke(); c.setLineDash([]);
  });
  const neutral = vector.neutral === null ? `dashed: ${number(base)}` : `dashed: neutral ${number(vector.neutral)}`;
  $("vectorsaid").textContent = `${vector.title} (${vector.unit}), ${values.length} channels, left by index, right sorted: ${number(low)} to ${number(high)}; ${neutral}. The tab Channels below has each channel.`;
}
