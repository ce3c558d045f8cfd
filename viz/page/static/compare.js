// The comparison: one message brings the picture and all maps of all columns; everything after that happens here.
// A column is a model, or, where the message says `kind: "maps"`, one source of maps of one model.
// `element`, `props`, `trigger`, `watch` come from the host; core.js and compare_core.js stand above.
const $ = (name) => element.querySelector(".cmp-" + name);
const root = element.querySelector(".cmp");
const LUTS = {};
const COLOURS = ["#ffb000", "#3ec6ff", "#ff5fa2", "#7ee081", "#c39bff", "#ff8a5c"];
const OWN = "#ffffff", PANEL_SIDE = 640;
const state = { data: null, step: 1, own: null, cursor: null, drag: null, photo: null, size: null, panels: [], message: 0, stale: "" };
const cache = new Map();

// ---------------------------------------------------------------- reading the message

function receive() {
  let data;
  try { data = JSON.parse(props.value || "null"); } catch { return; }
  if (!data) return;
  for (const [name, text] of Object.entries(data.palettes)) LUTS[name] = decodeBytes(text);
  for (const model of data.models)
    for (const map of model.maps)
      for (const s of map.steps) s.values = decodeFloats(s.data);
  const message = ++state.message; // the picture that came last counts, whichever is decoded last
  state.stale = "";
  const image = new Image();
  image.onload = () => { if (message === state.message) show(data, image); };
  image.src = data.picture.src;
}

// The picture above has changed since; or the attributions of one more class have come.
function receiveExtra() {
  let data;
  try { data = JSON.parse(props.extra || "null"); } catch { return; }
  if (!data) return;
  if (data.add) { if (state.data) receiveMore(data); return; }
  state.stale = data.stale || ""; // it may come before the picture is decoded, which it speaks of
  if (state.data) tellStale();
}

function tellStale() {
  $("stale").hidden = !state.stale;
  $("stale").textContent = state.stale;
}

function receiveMore(data) {
  for (const { model, select } of state.panels)
    for (const map of data.add[model.name] || []) {
      if (model.maps.some((m) => m.name === map.name && m.cls === map.cls)) continue;
      for (const s of map.steps) s.values = decodeFloats(s.data);
      model.maps.push(map);
      if (![...select.options].some((o) => o.value === map.name)) select.append(new Option(map.title, map.name));
    }
  draw();
  root.dataset.more = data.class;
}

function show(data, image) {
  const before = state.data, maps = new Map(state.panels.map((p) => [p.model.name, p.select.value]));
  const cls = $("class").value, same = before && before.picture.sha256 === data.picture.sha256;
  state.data = data;
  cache.clear();
  if (!same) { state.own = null; state.cursor = null; }
  const { width, height } = data.picture, factor = Math.min(1, PANEL_SIDE / Math.max(width, height));
  state.size = [Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor))];
  const scratch = document.createElement("canvas");
  [scratch.width, scratch.height] = state.size;
  const context = scratch.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, ...state.size);
  state.photo = context.getImageData(0, 0, ...state.size);
  root.style.setProperty("--ratio", width / height);
  root.style.setProperty("--columns", data.models.length === 4 ? 2 : Math.min(3, data.models.length));
  $("about").textContent = [data.picture.name, `${data.picture.full[1]} x ${data.picture.full[0]}`, ...data.picture.notes, ...(data.about ? [data.about] : [])].join(" · ");
  $("class").replaceChildren(...data.classes.map((label) => new Option(label, label)));
  const methods = data.methods || [];
  $("samemap").replaceChildren(...[["", "as chosen"], ["cam", "class map"], ...methods].map(([value, text]) => new Option(text, value)));
  $("samemaprow").hidden = !methods.length;
  $("classlabel").textContent = `Class of ${methods.length ? "class maps and attributions" : "the class maps"} (the first is the best of ${data.models[0].name})`;
  $("explain").replaceChildren(...(data.explain || []).map((line) => make("li", "", line)));
  $("explain").hidden = !(data.explain || []).length;
  $("alllabel").hidden = ofMaps();
  if (same && data.classes.includes(cls)) $("class").value = cls;
  if (!$("palette").options.length) {
    for (const name of Object.keys(LUTS)) $("palette").append(new Option(name, name));
    $("palette").value = "inferno";
  }
  state.panels = data.models.map((model, i) => panelOf(model, i, (same && maps.get(model.name)) || model.pick));
  $("grid").replaceChildren(...state.panels.map((p) => p.figure));
  const steps = stepsOf();
  $("step").max = String(steps);
  $("steps").hidden = steps < 2;
  state.step = same ? Math.min(state.step, steps) : steps;
  $("empty").hidden = true;
  $("main").hidden = false;
  tellStale();
  fillOwn();
  draw();
  root.dataset.state = "shown";
  root.dataset.key = data.key;
}

function make(tag, name, text = "") {
  const e = document.createElement(tag);
  if (name) e.className = "cmp-" + name;
  e.textContent = text;
  return e;
}

function panelOf(model, index, wish) {
  const figure = make("figure", "panel"), head = make("figcaption", "head"), frame = make("div", "frame");
  const select = make("select", "map"), says = make("span", "says"), value = make("output", "value"), bar = make("div", "bar");
  const base = make("canvas", "base"), over = make("canvas", "over");
  [base.width, base.height] = state.size;
  [over.width, over.height] = state.size;
  select.setAttribute("aria-label", `Map of ${model.name}`);
  if (!ofMaps() || model.maps.some((m) => m.kind === "cam")) select.append(new Option("class map", "cam"));
  const others = model.maps.filter((m) => m.kind !== "cam"), titles = others.map((m) => m.title);
  // A closed list shows no group: a title that several modules or levels have needs theirs.
  const title = (m) => (titles.indexOf(m.title) === titles.lastIndexOf(m.title) ? m.title : `${m.title} (${m.group})`);
  for (const name of new Set(others.map((m) => m.group))) {
    const group = document.createElement("optgroup");
    group.label = name;
    for (const m of others) if (m.group === name) group.append(new Option(title(m), m.name));
    select.append(group);
  }
  if ([...select.options].some((o) => o.value === wish)) select.value = wish;
  select.hidden = select.options.length < 2;
  select.addEventListener("change", draw);
  head.append(make("strong", "", model.name), select, says);
  frame.append(base, over);
  figure.append(head, frame, bar, value);
  const panel = { model, index, figure, frame, select, says, value, bar, base, over };
  frame.addEventListener("pointermove", (event) => {
    state.cursor = picturePoint(panel, event);
    if (state.drag) { setOwn(state.drag, state.cursor); paintTables(); }
    paintOvers();
  });
  frame.addEventListener("pointerdown", (event) => {
    state.cursor = picturePoint(panel, event);
    if ($("draw").checked) { state.drag = state.cursor; frame.setPointerCapture(event.pointerId); event.preventDefault(); }
    paintOvers();
  });
  frame.addEventListener("pointerup", () => { if (state.drag) { state.drag = null; draw(); } });
  frame.addEventListener("pointerleave", () => { if (!state.drag) { state.cursor = null; paintOvers(); } });
  return panel;
}

// ---------------------------------------------------------------- which map at which step

const ofMaps = () => state.data.kind === "maps";
const one = () => (ofMaps() ? "map" : "model");
const stepsOf = () => Math.max(...state.data.models.map((m) => m.steps));
const ownStep = (panel, step = state.step) => Math.min(step, panel.model.steps);

function entryOf(panel) {
  const name = panel.select.value;
  if (name === "cam") return panel.model.maps.find((m) => m.kind === "cam" && m.title === $("class").value);
  // An attribution is of one class; those of other classes may not have been computed.
  return panel.model.maps.find((m) => m.kind !== "cam" && m.name === name && (!m.cls || m.cls === $("class").value));
}

// Whether a panel shows an attribution that could be there, had it been computed for the chosen class.
function isUncomputed(panel) {
  const name = panel.select.value, { maps } = panel.model;
  return name !== "cam" && !entryOf(panel) && maps.some((m) => m.name === name && m.cls)
    && maps.some((m) => m.kind === "cam" && m.title === $("class").value);
}

function mapAt(panel, step = state.step) {
  const entry = entryOf(panel), own = ownStep(panel, step);
  // After the last value that the model has, that one stands; before the first there is none.
  const last = entry && entry.steps[entry.steps.length - 1];
  const found = entry && (entry.steps.find((s) => s.step === own) || (last.step < own ? last : null));
  return found ? { entry, step: found.step, key: `${panel.index}|${panel.select.value}|${entry.title}|${entry.cls || ""}|${found.step}`, values: found.values, h: found.h, w: found.w } : null;
}

// Panels that share a range: those that measure in one unit.
function mates(panel) {
  const entry = entryOf(panel);
  if (!entry || $("scale").value === "each") return [panel];
  return state.panels.filter((p) => { const e = entryOf(p); return e && unitOf(e) === unitOf(entry); });
}

const unitOf = (entry) => entry.unit || entry.title;

function scaleOf(panel) {
  const group = mates(panel), ranges = group.flatMap((p) => entryOf(p).steps.filter((s) => s.step <= p.model.steps).map((s) => rangeOf(s.values)));
  const scale = [Math.min(...ranges.map((r) => r[0])), Math.max(...ranges.map((r) => r[1]))];
  return paletteOf(panel) === "diverging" ? symmetric(scale, entryOf(panel).neutral) : scale;
}

// The diverging palette is for maps with a neutral value, and for groups that have one in common.
function paletteOf(panel) {
  const name = $("palette").value;
  if (name !== "diverging") return name;
  const neutral = new Set(mates(panel).map((p) => entryOf(p).neutral));
  return neutral.size === 1 && !neutral.has(null) ? name : "inferno";
}

function remembered(key, compute) {
  if (!cache.has(key)) {
    if (cache.size > 96) cache.delete(cache.keys().next().value);
    cache.set(key, compute());
  }
  return cache.get(key);
}

function boxOf(panel) {
  const m = mapAt(panel);
  if (!m) return null;
  const { width, height, full } = state.data.picture, threshold = $("threshold").value;
  return remembered(`box|${m.key}|${threshold}`, () => {
    // On the large copy, as viz.boxes does on the picture; the panels are smaller.
    const values = sampleMap(m.values, m.h, m.w, panel.model.geometry, width, height, "bilinear");
    return boxesOf(values, width, height, threshold / 100, "largest", 0, full)[0] || null;
  });
}

function pairOf(a, b) {
  const p = mapAt(a), q = mapAt(b);
  return remembered(`pair|${p ? p.key : a.index}|${q ? q.key : b.index}`, () => agreementOf(p, a.model.geometry, q, b.model.geometry));
}

// ---------------------------------------------------------------- drawing

let queued = false;
function draw() {
  if (queued || !state.data) return;
  queued = true;
  requestAnimationFrame(() => { queued = false; paint(); });
}

function paint() {
  const data = state.data, steps = stepsOf();
  for (const panel of state.panels) paintPanel(panel);
  $("step").value = String(state.step);
  $("step").setAttribute("aria-valuetext", `step ${state.step} of ${steps}`);
  $("steplabel").textContent = `step ${state.step} of ${steps}`;
  $("opv").textContent = $("opacity").value + " %";
  $("thv").textContent = $("threshold").value + " % of the range";
  const methods = (data.methods || []).map(([name]) => name), chosen = new Set(state.panels.map((p) => p.select.value));
  $("classrow").hidden = ofMaps() || state.panels.every((p) => p.select.value !== "cam" && !methods.includes(p.select.value));
  $("samemap").value = chosen.size === 1 && [...$("samemap").options].some((o) => chosen.has(o.value)) ? [...chosen][0] : "";
  $("ask").hidden = !state.panels.some(isUncomputed);
  $("ask").textContent = `Compute the attributions of ${$("class").value}`;
  paintBars();
  paintOvers();
  paintTables();
  $("notes").textContent = notes().join(" ");
  root.dataset.step = String(state.step);
  root.dataset.models = data.models.map((m) => m.name).join(" ");
  root.dataset.drawn = String(Number(root.dataset.drawn || 0) + 1);
}

function paintPanel(panel) {
  const m = mapAt(panel), [width, height] = state.size, picture = new ImageData(width, height);
  if (m) {
    const how = $("interp").value;
    const values = remembered(`map|${m.key}|${how}`, () => sampleMap(m.values, m.h, m.w, panel.model.geometry, width, height, how));
    blend(state.photo.data, values, scaleOf(panel), LUTS[paletteOf(panel)], $("opacity").value / 100, picture.data);
  } else picture.data.set(state.photo.data);
  panel.base.getContext("2d").putImageData(picture, 0, 0);
  const own = ownStep(panel), top = panel.model.top[own - 1], steps = panel.model.steps;
  const which = steps === 1 ? "one step only" : own < state.step ? `its last step, ${own}` : `step ${own} of ${steps}`;
  const entry = entryOf(panel);
  const label = entry && (entry.cls || entry.title);
  const asked = m && entry.p ? `, ${percent(entry.p[own - 1])} for ${label}` : "";
  const none = isUncomputed(panel) ? ": not computed for this class" : ": this model has no such class";
  const missing = m ? (m.step < own ? `, map of step ${m.step}` : "") : entry ? ": no value of this map here" : none;
  if (ofMaps()) { panel.says.textContent = [steps > 1 ? which + missing : "", panel.model.note].filter(Boolean).join("; "); return; }
  panel.says.textContent = `${which}${missing}; says ${top.label} ${percent(top.probability)}${asked && top.label !== label ? asked : ""}${entry && entry.note ? `; ${entry.note}` : ""}`;
}

const percent = (p) => (100 * p).toFixed(1) + " %";

function paintBars() {
  const shared = $("scale").value === "shared", list = $("bars"), done = new Set();
  list.replaceChildren();
  for (const panel of state.panels) {
    panel.bar.replaceChildren();
    const entry = entryOf(panel);
    if (!entry) continue;
    if (!shared) { fillBar(panel.bar, panel, entry.unit); continue; }
    if (done.has(unitOf(entry))) continue;
    done.add(unitOf(entry));
    const group = mates(panel), bar = make("div", "bar");
    const who = group.length === state.panels.length ? `all ${one()}s` : group.map((p) => p.model.name).join(", ");
    fillBar(bar, panel, `${entry.unit}: ${who}`);
    list.append(bar);
  }
}

function fillBar(bar, panel, text) {
  const scale = scaleOf(panel), lut = LUTS[paletteOf(panel)], stops = [];
  for (let k = 0; k < 256; k += 5) stops.push(`rgb(${lut[3 * k]} ${lut[3 * k + 1]} ${lut[3 * k + 2]})`);
  const strip = make("div", "lut"), ends = make("div", "ends");
  strip.style.setProperty("--stops", stops.join(","));
  ends.append(make("span", "", number(scale[0])), make("span", "", number(scale[1])));
  bar.append(strip, ends, make("em", "", text));
}

function paintOvers() {
  for (const panel of state.panels) paintOver(panel);
  readout();
}

function paintOver(panel) {
  const [width, height] = state.size, { full } = state.data.picture, c = panel.over.getContext("2d");
  const fx = width / full[1], fy = height / full[0], unit = width / (panel.frame.clientWidth || width); // a hidden tab has no width
  c.clearRect(0, 0, width, height);
  const seen = panel.model.geometry.seen;
  if (!(seen[0] <= 0 && seen[1] <= 0 && seen[2] >= full[1] && seen[3] >= full[0])) {
    c.setLineDash([6 * unit, 4 * unit]);
    stroke(c, seen[0] * fx, seen[1] * fy, seen[2] * fx, seen[3] * fy, "#ffffff", 1.2 * unit);
    c.setLineDash([]);
  }
  const box = isBoxed(panel) ? boxOf(panel) : null;
  if (box) stroke(c, box.x0 * fx, box.y0 * fy, box.x1 * fx, box.y1 * fy, COLOURS[panel.index % COLOURS.length], 2.5 * unit);
  if (state.own) {
    c.setLineDash([3 * unit, 3 * unit]);
    stroke(c, state.own.x0 * fx, state.own.y0 * fy, state.own.x1 * fx, state.own.y1 * fy, OWN, 2 * unit);
    c.setLineDash([]);
  }
  if (state.cursor) {
    const x = state.cursor[0] * fx, y = state.cursor[1] * fy;
    c.lineWidth = unit; c.strokeStyle = "#000000";
    c.beginPath(); c.arc(x, y, 5 * unit, 0, 7); c.stroke();
    c.strokeStyle = "#ffffff"; c.beginPath(); c.arc(x, y, 4 * unit, 0, 7); c.stroke();
  }
}

// A box of a gate or of a total spans the crop more often than not: by default class maps alone have theirs drawn.
const isBoxed = (panel) => $("showbox").checked && (ofMaps() || $("allbox").checked || panel.select.value === "cam");

function stroke(c, x0, y0, x1, y1, colour, width) {
  c.lineWidth = width + 2; c.strokeStyle = "rgba(0,0,0,0.6)";
  c.strokeRect(x0, y0, x1 - x0, y1 - y0);
  c.lineWidth = width; c.strokeStyle = colour;
  c.strokeRect(x0, y0, x1 - x0, y1 - y0);
}

// ---------------------------------------------------------------- tables and sentences

function row(body, cells, title = "") {
  const tr = body.insertRow();
  for (const v of cells) tr.insertCell().textContent = v;
  tr.title = title;
}

const shown = (v) => (Number.isFinite(v) ? v.toFixed(3) : "none");

function paintTables() {
  const pairs = $("pairs").tBodies[0], list = $("boxes").tBodies[0], full = state.data.picture.full;
  pairs.replaceChildren();
  list.replaceChildren();
  state.panels.forEach((a, i) => state.panels.slice(i + 1).forEach((b) => {
    const found = pairOf(a, b), p = boxOf(a), q = boxOf(b);
    const overlap = p && q ? shown(iou(p, q)) : "none";
    row(pairs, [`${a.model.name} and ${b.model.name}`, shown(found.spearman), shown(found.iou), shown(found.share), `${found.rows} x ${found.columns}`, overlap], found.reason);
  }));
  for (const panel of state.panels) {
    const box = boxOf(panel);
    if (!box) { row(list, [panel.model.name, "none", "", "", "", "", ""], mapAt(panel) ? "The map is flat: no box." : "No value at this step."); continue; }
    const mine = state.own ? iou(box, state.own).toFixed(3) : "draw one";
    row(list, [panel.model.name, box.x0, box.y0, box.x1, box.y1, (100 * box.area / (full[0] * full[1])).toFixed(1) + " %", mine]);
  }
}

function notes() {
  const steps = stepsOf(), out = [];
  for (const p of state.panels) if (p.model.steps < steps) out.push(`${p.model.name} has ${p.model.steps === 1 ? "1 step" : p.model.steps + " steps"}; at later steps its last one stands.`);
  const units = new Set(state.panels.map(entryOf).filter(Boolean).map(unitOf));
  if ($("scale").value === "each") out.push((ofMaps() ? "Each map has its own range" : "Each model has its own range") + (steps === 1 ? "." : ofMaps() ? " over all steps." : ", over its own steps."));
  else out.push(units.size > 1 ? `Maps of one unit share one range${steps === 1 ? "" : " over all steps"}; other units have their own.` : `One range for all ${one()}s${steps === 1 ? "" : " and all steps"}.`);
  if (new Set(state.panels.map((p) => p.model.geometry.seen.join())).size > 1)
    out.push("The networks saw different parts of the picture; agreement counts only what both of a pair saw.");
  const dark = state.panels.filter(isSparse).map((p) => p.model.name);
  if (dark.length) out.push(`${dark.join(", ")}: 99 % of the cells lie in the lowest quarter of the range, so the map looks dark; it is a few strong cells. A higher opacity shows them alone; the rank correlation and the top 10 % do not depend on the range.`);
  const reasons = new Set();
  state.panels.forEach((a, i) => state.panels.slice(i + 1).forEach((b) => reasons.add(pairOf(a, b).reason)));
  return [...out, ...[...reasons].filter(Boolean).map((reason) => `Where a pair has no number: ${reason}`)];
}

// Attributions to the input have a few cells far above all others.
function isSparse(panel) {
  const m = mapAt(panel);
  if (!m || entryOf(panel).kind !== "attribution") return false;
  return remembered(`sparse|${m.key}|${scaleOf(panel)}`, () => {
    const sorted = Float32Array.from(m.values).sort(), [low, high] = scaleOf(panel);
    return high > low && (sorted[Math.floor(0.99 * (sorted.length - 1))] - low) / (high - low) < 0.25;
  });
}

function valueAt(panel) {
  const m = mapAt(panel), cell = m ? cellAt(panel.model.geometry, state.cursor, m.h, m.w) : cellAt(panel.model.geometry, state.cursor, 1, 1);
  if (!cell) return "outside the crop";
  return m ? `${number(m.values[cell[0] * m.w + cell[1]])} ${m.entry.unit}` : "no value";
}

function readout() {
  if (!state.cursor) {
    for (const panel of state.panels) panel.value.textContent = "";
    $("readout").textContent = `Point at a panel to read the cells of all ${one()}s there.`;
    return;
  }
  const values = state.panels.map((panel) => { panel.value.textContent = valueAt(panel); return `${panel.model.name} ${panel.value.textContent}`; });
  $("readout").textContent = `x ${Math.floor(state.cursor[0])}, y ${Math.floor(state.cursor[1])}: ${values.join("; ")}.`;
}

function picturePoint(panel, event) {
  const rect = panel.base.getBoundingClientRect(), full = state.data.picture.full;
  const x = (event.clientX - rect.left) / rect.width * full[1], y = (event.clientY - rect.top) / rect.height * full[0];
  return [Math.min(Math.max(x, 0), full[1] - 1e-6), Math.min(Math.max(y, 0), full[0] - 1e-6)];
}

// ---------------------------------------------------------------- the user's own box

function setOwn(a, b) {
  const [x0, x1] = [Math.round(Math.min(a[0], b[0])), Math.round(Math.max(a[0], b[0]))];
  const [y0, y1] = [Math.round(Math.min(a[1], b[1])), Math.round(Math.max(a[1], b[1]))];
  state.own = x1 > x0 && y1 > y0 ? { x0, y0, x1, y1 } : null;
  fillOwn();
}

function fillOwn() {
  for (const input of root.querySelectorAll(".cmp-own [data-k]")) {
    input.value = state.own ? state.own[input.dataset.k] : "";
    input.max = state.data ? state.data.picture.full[input.dataset.k[0] === "x" ? 1 : 0] : "";
  }
}

// Typed numbers count once all four are there; they are put in order and kept inside the picture.
function typedOwn() {
  const v = {};
  for (const input of root.querySelectorAll(".cmp-own [data-k]")) {
    if (input.value === "") return;
    v[input.dataset.k] = Math.min(Math.max(Number(input.value), 0), Number(input.max));
  }
  setOwn([v.x0, v.y0], [v.x1, v.y1]);
  draw();
}

// ---------------------------------------------------------------- wiring

function go(step) {
  if (!state.data) return;
  state.step = Math.min(Math.max(step, 1), stepsOf());
  draw();
}

for (const name of ["class", "scale", "palette", "interp", "showbox", "allbox"]) $(name).addEventListener("change", draw);
$("samemap").addEventListener("change", () => {
  const wish = $("samemap").value;
  for (const { select } of state.panels) if (wish && [...select.options].some((o) => o.value === wish)) select.value = wish;
  draw();
});
$("ask").addEventListener("click", () => trigger("ask_class", { class: $("class").value }));
for (const name of ["opacity", "threshold"]) $(name).addEventListener("input", draw);
$("draw").addEventListener("change", () => $("grid").classList.toggle("drawing", $("draw").checked));
$("step").addEventListener("input", () => go(Number($("step").value)));
$("prev").addEventListener("click", () => go(state.step - 1));
$("next").addEventListener("click", () => go(state.step + 1));
$("clear").addEventListener("click", () => { state.own = null; fillOwn(); draw(); });
for (const input of root.querySelectorAll(".cmp-own [data-k]")) input.addEventListener("change", typedOwn);
for (const button of root.querySelectorAll("[data-format]")) button.addEventListener("click", () => trigger("export_grid", {
  format: button.dataset.format, maps: Object.fromEntries(state.panels.map((p) => [p.model.name, p.select.value])),
  class: $("class").value, scale: $("scale").value, palette: $("palette").value, interpolation: $("interp").value,
  opacity: Number($("opacity").value) / 100, threshold: Number($("threshold").value) / 100, boxes: !$("showbox").checked ? false : ofMaps() || $("allbox").checked ? true : "class_maps",
  box: state.own ? [state.own.x0, state.own.y0, state.own.x1, state.own.y1] : null,
}));

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
$("grid").addEventListener("keydown", (event) => {
  if (!state.data || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const move = MOVES[event.key];
  if (move && event.shiftKey) {
    const full = state.data.picture.full, at = state.cursor || [full[1] / 2, full[0] / 2];
    const reach = Math.max(1, Math.round(Math.max(...full) / 40));
    state.cursor = [Math.min(Math.max(at[0] + move[0] * reach, 0), full[1] - 1), Math.min(Math.max(at[1] + move[1] * reach, 0), full[0] - 1)];
    paintOvers();
  } else if (event.key === "ArrowLeft") go(state.step - 1);
  else if (event.key === "ArrowRight") go(state.step + 1);
  else if (event.key === "Home") go(1);
  else if (event.key === "End") go(stepsOf());
  else return;
  event.preventDefault();
});

watch("value", receive);
watch("extra", receiveExtra);
receive();
