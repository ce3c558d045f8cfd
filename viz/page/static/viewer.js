// The viewer: one message brings the picture and all maps of all steps; everything after that happens here,
// without a call to the server. `element`, `props`, `trigger`, `watch` come from the host; core.js and kernel.js stand
// above. A stop is one place of the slider (a frame, counted from 1); several stops may lie in one computation step.
const $ = (name) => element.querySelector(".sl-" + name);
const root = element.querySelector(".sl");
const LUTS = {};
const COLOURS = ["#ffb000", "#3ec6ff", "#ff5fa2", "#7ee081", "#c39bff", "#ff8a5c", "#9ad1d4", "#f5e663"];
const OWN = "#ffffff";
const state = { data: null, photo: null, stop: 1, wish: null, own: null, cursor: null, point: null, timer: null, drag: null, strip: "", message: 0 };
const cache = new Map();

// ---------------------------------------------------------------- reading the message

function receive() {
  let data;
  try { data = JSON.parse(props.value || "null"); } catch { return; }
  if (!data) return;
  banner(data.error || "");
  if (data.error) { // what was shown before stays
    if (data.refused) { root.dataset.refused = data.refused; trigger("refused", {}); }
    return;
  }
  for (const [name, text] of Object.entries(data.palettes || {})) LUTS[name] = decodeBytes(text);
  for (const map of data.maps)
    for (const s of map.steps) s.values = decodeFloats(s.data);
  for (const kernel of data.kernels) data.maps.push(...tapMaps(kernel));
  const message = ++state.message; // the picture that came last counts, whichever is decoded last
  const image = new Image();
  image.onload = () => { if (message === state.message) show(data, image); };
  image.onerror = () => { if (message === state.message) banner("The browser could not draw the picture."); };
  image.src = data.picture.src;
}

// Every tap of a kernel as a map of its own, from the values that were sent once.
function tapMaps(kernel) {
  let before = null;
  for (const s of kernel.steps) before = s.values = s.same ? before : decodeFloats(s.data);
  const taps = [];
  for (let j = 0; j < kernel.k * kernel.k; j++) {
    const steps = kernel.steps.map(({ step, h, w, values }) => ({ step, h, w, values: values.subarray(j * h * w, (j + 1) * h * w) }));
    const row = Math.floor(j / kernel.k) + 1, column = j % kernel.k + 1;
    taps.push({
      name: `${kernel.name}#${j}`, kind: "kernel", title: `${kernel.label}, tap row ${row}, column ${column}`, group: kernel.group, share: kernel.label,
      unit: kernel.unit, bounds: kernel.bounds, neutral: kernel.neutral, palette: kernel.neutral === null ? "inferno" : "diverging", class_index: null, steps,
    });
  }
  return taps;
}

// Further maps for what is already shown: another class, a channel's feature maps.
function receiveExtra() {
  let data;
  try { data = JSON.parse(props.extra || "null"); } catch { return; }
  if (!data || !state.data) return;
  if (data.error) { banner(data.error); return; }
  if (data.key !== state.data.key) return;
  banner("");
  for (const map of data.maps) {
    for (const s of map.steps) s.values = decodeFloats(s.data);
    state.data.maps = state.data.maps.filter((m) => m.name !== map.name || m.class_index !== map.class_index);
    state.data.maps.push(map);
  }
  Object.assign(state.data, { pick: data.pick, show: data.show });
  fillMaps({ map: $("map").value, cls: $("class").value });
  const chosen = data.maps.find((m) => m.name === data.show);
  if (chosen && !chosen.steps.some((s) => s.step === stepOf(state.stop))) {
    const last = chosen.steps[chosen.steps.length - 1].step;
    state.stop = lastStop(state.data.frames, last);
  }
  draw();
  root.scrollIntoView({ block: "start", behavior: "smooth" });
}

// The last stop of a computation step.
function lastStop(frames, step) {
  for (let i = frames.length; i > 0; i--) if (frames[i - 1].step === step) return i;
  return frames.length;
}

function banner(text) {
  const p = $("banner");
  p.hidden = !text;
  p.textContent = text;
  root.dataset.error = text;
}

function show(data, image) {
  const before = state.data;
  const keep = { map: $("map").value, cls: $("class").value };
  stop();
  state.data = data;
  cache.clear();
  if (!before || before.picture.sha256 !== data.picture.sha256) { state.own = null; state.cursor = null; state.point = null; }
  const { width, height } = data.picture;
  for (const c of [$("base"), $("over")]) { c.width = width; c.height = height; }
  const scratch = document.createElement("canvas");
  scratch.width = width; scratch.height = height;
  const context = scratch.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  state.photo = context.getImageData(0, 0, width, height);
  root.style.setProperty("--ratio", width / height);
  $("empty").hidden = true;
  $("main").hidden = false;
  $("model").textContent = data.model.title;
  $("file").textContent = [data.picture.name, `${data.picture.full[1]} x ${data.picture.full[0]}`, ...data.picture.notes].join(" · ");
  const again = before && before.model.name === data.model.name;
  state.strip = "";
  if (!again && hasStory()) keep.map = "story"; // a model's own story comes first
  fillMaps(keep);
  const slider = $("step");
  slider.max = String(data.frames.length);
  root.dataset.stops = String(data.frames.length);
  root.dataset.steps = String(new Set(data.frames.map((f) => f.step)).size);
  const first = hasStory() ? 1 : data.frames.length;
  state.stop = Math.min(again ? state.stop : first, data.frames.length);
  const many = data.frames.length > 1;
  for (const name of ["steps", "strip", "stripnote"]) $(name).hidden = !many;
  for (const label of root.querySelectorAll(".sl-multi")) label.hidden = !many;
  fillOwn();
  draw();
  root.dataset.state = "shown";
  root.dataset.key = data.key;
}

function fillMaps(keep) {
  const select = $("map"), data = state.data;
  select.replaceChildren();
  const groups = new Map();
  for (const map of data.maps) {
    if (map.kind === "cam") continue;
    if (!groups.has(map.group)) groups.set(map.group, []);
    groups.get(map.group).push(map);
  }
  if (hasStory()) select.append(new Option("as the story goes", "story"));
  select.append(new Option("class map", "cam"));
  for (const [group, maps] of groups) {
    const g = document.createElement("optgroup");
    g.label = group;
    for (const m of maps) g.append(new Option(m.title, m.name));
    select.append(g);
  }
  const label = (name) => name.split(".").pop().split("#")[0];
  const wish = (keep.map === "cam" || (keep.map === "story" && !hasStory())) && state.wish ? state.wish : keep.map;
  const options = [...select.options].map((o) => o.value);
  const same = options.find((o) => o === wish) || options.find((o) => wish && o !== "cam" && label(o) === label(wish));
  select.value = same || "cam";
  const classes = $("class");
  classes.replaceChildren(new Option("each step's best class", "best"));
  for (const map of data.maps) if (map.kind === "cam") classes.append(new Option(map.title, String(map.class_index)));
  if ([...classes.options].some((o) => o.value === keep.cls)) classes.value = keep.cls;
  if (data.show && [...select.options].some((o) => o.value === data.show)) select.value = data.show;
  if (data.pick !== undefined && data.pick !== null) { select.value = "cam"; classes.value = String(data.pick); }
  const palettes = $("palette");
  if (!palettes.options.length) {
    palettes.append(new Option("fits the map", "auto"));
    for (const name of Object.keys(LUTS)) palettes.append(new Option(name, name));
  }
}

// ---------------------------------------------------------------- which map at which step

const stepOf = (stop) => state.data.frames[stop - 1].step;
const hasStory = () => state.data.frames.some((f) => f.show);
const storyShown = () => $("map").value === "story";

// Name of the map that a stop shows.
function nameAt(stop) {
  const chosen = $("map").value;
  return chosen === "story" ? state.data.frames[stop - 1].show || "cam" : chosen;
}

function mapAt(stop) {
  const data = state.data, name = nameAt(stop), step = stepOf(stop);
  let map, key = name;
  if (name === "cam") {
    const chosen = $("class").value;
    const index = chosen === "best" ? data.frames[stop - 1].top[0].class_index : Number(chosen);
    map = data.maps.find((m) => m.kind === "cam" && m.class_index === index);
    key = "cam:" + index;
  } else map = data.maps.find((m) => m.name === name);
  if (!map) return null;
  const found = map.steps.find((s) => s.step === step);
  return found ? { map, key, step, values: found.values, h: found.h, w: found.w, bounds: map.bounds } : null;
}

function allMaps() {
  return state.data.frames.map((f, i) => mapAt(i + 1));
}

function sampled(m, width, height, interpolation = $("interp").value) {
  const key = [m.key, m.step, interpolation, width, height].join("|");
  if (!cache.has(key)) {
    if (cache.size > 48) cache.delete(cache.keys().next().value);
    cache.set(key, sampleMap(m.values, m.h, m.w, state.data.geometry, width, height, interpolation));
  }
  return cache.get(key);
}

// The two numbers of a fixed scale, or null while they are not a range.
function fixedRange() {
  const low = $("low").value, high = $("high").value;
  return low !== "" && high !== "" && Number(low) < Number(high) ? [Number(low), Number(high)] : null;
}

// Every map that shares a colour scale with this one: all steps of all classes that are shown; in a story the stops
// that show the same quantity.
function sharing(m) {
  const data = state.data;
  if (storyShown() && m.map.kind !== "cam") return allMaps().filter((o) => o && o.map.share === m.map.share);
  const classes = m.map.kind === "cam" && $("class").value === "best";
  if (!classes) return m.map.kind === "cam" || storyShown() ? m.map.steps : allMaps().filter(Boolean);
  const shown = new Set(data.frames.map((f) => f.top[0].class_index));
  return data.maps.filter((o) => o.kind === "cam" && shown.has(o.class_index)).flatMap((o) => o.steps);
}

function currentScale(m, mode) {
  const chosen = mode || $("scale").value, fixed = fixedRange();
  // Without two good numbers the shared range stands in, and the readout says so.
  const scale = scaleFor(m, chosen === "fixed" && !fixed ? "steps" : chosen, sharing(m), fixed);
  return paletteOf(m) === "diverging" ? symmetric(scale, m.map.neutral) : scale;
}

// The diverging palette is for maps with a neutral value; others take inferno, as in an exported figure.
function paletteOf(m) {
  const name = $("palette").value;
  if (name === "auto") return m.map.palette;
  return name === "diverging" && m.map.neutral === null ? "inferno" : name;
}

// Boxes say where something is: in a story the class maps do; any map that a person chooses has boxes.
const unboxed = (m) => storyShown() && m.map.kind !== "cam";

function boxesAt(stop) {
  const m = mapAt(stop);
  if (!m || unboxed(m)) return [];
  const { width, height, full } = state.data.picture;
  const key = ["box", m.key, m.step, $("threshold").value, $("components").value, $("minarea").value].join("|");
  if (!cache.has(key)) {
    const values = sampled(m, width, height, "bilinear"); // as viz.boxes does, whatever is drawn
    cache.set(key, boxesOf(values, width, height, $("threshold").value / 100, $("components").value, $("minarea").value / 100, full));
  }
  return cache.get(key);
}

// Boxes with the number of their stop, which without a story is the step.
function shownBoxes() {
  const data = state.data, stops = data.frames.map((f, i) => i + 1);
  if (!$("showbox").checked) return [];
  if (!$("allsteps").checked || stops.length < 2) return boxesAt(state.stop).map((box) => ({ stop: state.stop, box }));
  if (!$("filter").checked) return stops.flatMap((stop) => boxesAt(stop).map((box) => ({ stop, box })));
  const entries = stops.map((stop) => ({ stop, probability: data.frames[stop - 1].top[0].probability, box: boxesAt(stop)[0] || null }));
  const kept = new Map();
  for (const entry of iouFilter(entries)) if (entry.box) kept.set(entry.stop, entry);
  return [...kept.values()].map(({ stop, box }) => ({ stop, box }));
}

// ---------------------------------------------------------------- drawing

let queued = false;
function draw() {
  if (queued || !state.data) return;
  queued = true;
  requestAnimationFrame(() => { queued = false; paint(); });
}

function paint() {
  const data = state.data, { width, height } = data.picture, frame = data.frames[state.stop - 1];
  const m = mapAt(state.stop), base = $("base").getContext("2d");
  const picture = new ImageData(width, height);
  if (m) {
    const scale = currentScale(m);
    blend(state.photo.data, sampled(m, width, height), scale, LUTS[paletteOf(m)], $("opacity").value / 100, picture.data);
    paintBar(m, scale);
  } else {
    picture.data.set(state.photo.data);
    paintBar(null);
  }
  base.putImageData(picture, 0, 0);
  paintOver(m);
  $("step").value = String(state.stop);
  const story = hasStory();
  $("step").setAttribute("aria-valuetext", frame.title);
  $("steplabel").textContent = story ? `${state.stop} of ${data.frames.length}: ${frame.title}` : `${frame.title} of ${data.frames.length}`;
  $("stopword").textContent = story ? "stop" : "step";
  $("caption").textContent = frame.caption;
  $("opv").textContent = $("opacity").value + " %";
  $("thv").textContent = $("threshold").value + " % of the range";
  $("minv").textContent = Number($("minarea").value) + " % of the picture";
  $("classrow").hidden = nameAt(state.stop) !== "cam";
  $("fixed").hidden = $("scale").value !== "fixed";
  paintVector();
  paintKernelPanel();
  paintStrip();
  paintTop(frame);
  paintTable();
  readout();
  root.dataset.step = String(frame.step);
  root.dataset.stop = String(state.stop);
  root.dataset.drawn = String(Number(root.dataset.drawn || 0) + 1);
}

function paintOver(m) {
  const data = state.data, { width, height, full } = data.picture, canvas = $("over"), c = canvas.getContext("2d");
  const fx = width / full[1], fy = height / full[0], unit = width / ($("frame").clientWidth || width); // canvas pixels a screen pixel; hidden, it has no width
  c.clearRect(0, 0, width, height);
  if (m && $("outline").checked) {
    const values = sampled(m, width, height, "bilinear"), found = maskAt(values, $("threshold").value / 100);
    if (found) {
      c.fillStyle = "#ffffff";
      const reach = Math.max(1, Math.round(unit));
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          const i = y * width + x;
          if (found.mask[i] && !(x + 1 < width && found.mask[i + 1] && x > 0 && found.mask[i - 1] && y + 1 < height && found.mask[i + width] && y > 0 && found.mask[i - width]))
            c.fillRect(x, y, reach, reach);
        }
    }
  }
  const seen = data.geometry.seen;
  const whole = seen[0] <= 0 && seen[1] <= 0 && seen[2] >= full[1] && seen[3] >= full[0];
  $("crop").closest("label").hidden = whole;
  if ($("crop").checked && !whole) {
    c.setLineDash([6 * unit, 4 * unit]);
    stroke(c, seen[0] * fx, seen[1] * fy, seen[2] * fx, seen[3] * fy, "#ffffff", 1.2 * unit);
    c.setLineDash([]);
  }
  paintKernel(c, fx, fy, unit);
  for (const { stop, box } of shownBoxes()) {
    const colour = COLOURS[(stop - 1) % COLOURS.length];
    stroke(c, box.x0 * fx, box.y0 * fy, box.x1 * fx, box.y1 * fy, colour, 2.5 * unit);
    tag(c, String(stop), box.x0 * fx, box.y0 * fy, colour, unit);
  }
  if (state.own) {
    stroke(c, state.own.x0 * fx, state.own.y0 * fy, state.own.x1 * fx, state.own.y1 * fy, OWN, 2 * unit);
    tag(c, "mine", state.own.x0 * fx, state.own.y0 * fy, OWN, unit);
  }
  if (state.cursor) {
    const x = state.cursor[0] * fx, y = state.cursor[1] * fy;
    c.lineWidth = unit; c.strokeStyle = "#000000";
    c.beginPath(); c.arc(x, y, 5 * unit, 0, 7); c.stroke();
    c.strokeStyle = "#ffffff"; c.beginPath(); c.arc(x, y, 4 * unit, 0, 7); c.stroke();
  }
}

function stroke(c, x0, y0, x1, y1, colour, width) {
  c.lineWidth = width + 2; c.strokeStyle = "rgba(0,0,0,0.6)";
  c.strokeRect(x0, y0, x1 - x0, y1 - y0);
  c.lineWidth = width; c.strokeStyle = colour;
  c.strokeRect(x0, y0, x1 - x0, y1 - y0);
}

function tag(c, text, x, y, colour, unit) {
  c.font = `600 ${Math.round(13 * unit)}px system-ui, sans-serif`;
  const w = c.measureText(text).width + 8 * unit, h = 18 * unit, top = y >= h ? y - h : y;
  c.fillStyle = colour; c.fillRect(x, top, w, h);
  c.fillStyle = "#000000"; c.textBaseline = "middle"; c.fillText(text, x + 4 * unit, top + h / 2);
}

function paintBar(m, scale) {
  const ticks = $("ticks");
  $("bar").style.visibility = m ? "visible" : "hidden";
  ticks.replaceChildren();
  if (!m) return;
  const lut = LUTS[paletteOf(m)], stops = [];
  for (let k = 0; k < 256; k += 5) stops.push(`rgb(${lut[3 * k]} ${lut[3 * k + 1]} ${lut[3 * k + 2]})`);
  $("lut").style.setProperty("--stops", stops.join(","));
  const extent = scale[1] - scale[0];
  const marks = [[scale[1], 0], [(scale[0] + scale[1]) / 2, 50], [scale[0], 100]].map(([v, at]) => ({ text: number(v), at }));
  const neutral = m.map.neutral;
  if (neutral !== null && extent > 0 && neutral > scale[0] && neutral < scale[1]) {
    const at = 100 * (scale[1] - neutral) / extent;
    if (marks.every((k) => Math.abs(k.at - at) > ($("frame").clientWidth < 500 ? 30 : 12))) marks.push({ text: number(neutral) + " neutral", at });
  }
  for (const mark of marks) {
    const span = document.createElement("span");
    span.textContent = mark.text;
    span.style.setProperty("--at", mark.at + "%");
    ticks.append(span);
  }
  const unit = document.createElement("em");
  unit.textContent = m.map.unit;
  ticks.append(unit);
}

function paintStrip() {
  const data = state.data, strip = $("strip");
  if (data.frames.length < 2) return;
  const looks = ["map", "class", "scale", "palette", "interp", "opacity", "low", "high"].map((n) => $(n).value);
  const drawn = [data.key, data.maps.length, ...looks].join("|");
  if (drawn !== state.strip) {
    drawStrip(strip);
    state.strip = drawn;
  }
  data.frames.forEach((frame, i) => strip.children[i].setAttribute("aria-pressed", String(i + 1 === state.stop)));
  const now = strip.children[state.stop - 1]; // where the strip is one row that scrolls, the stop comes into view
  if (strip.scrollWidth > strip.clientWidth) strip.scrollLeft = now.offsetLeft - (strip.clientWidth - now.offsetWidth) / 2;
}

// The strip always has shared scales; a range of the operation serves where the operation has both bounds.
function stripScale(m) {
  const bounded = m.bounds.every((b) => b !== null), mode = $("scale").value;
  return currentScale(m, mode === "fixed" ? "fixed" : mode === "raw" && bounded ? "raw" : "steps");
}

function drawStrip(strip) {
  const data = state.data, story = hasStory();
  const { width, height } = data.picture, factor = Math.min(1, (story ? 160 : 240) / Math.max(width, height));
  const w = Math.max(1, Math.round(width * factor)), h = Math.max(1, Math.round(height * factor));
  strip.classList.toggle("many", data.frames.length > 3);
  while (strip.children.length < data.frames.length) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(document.createElement("canvas"), document.createElement("span"));
    strip.append(button);
  }
  while (strip.children.length > data.frames.length) strip.lastChild.remove();
  const maps = allMaps(), scales = maps.map((m) => m && stripScale(m));
  const small = document.createElement("canvas");
  small.width = w; small.height = h;
  const sc = small.getContext("2d", { willReadFrequently: true });
  const scratch = document.createElement("canvas");
  scratch.width = width; scratch.height = height;
  scratch.getContext("2d").putImageData(state.photo, 0, 0);
  sc.drawImage(scratch, 0, 0, w, h);
  const photo = sc.getImageData(0, 0, w, h);
  data.frames.forEach((frame, i) => {
    const button = strip.children[i], canvas = button.firstChild, m = maps[i];
    canvas.width = w; canvas.height = h;
    const image = new ImageData(w, h);
    if (m) blend(photo.data, sampled(m, w, h), scales[i], LUTS[paletteOf(m)], $("opacity").value / 100, image.data);
    else image.data.set(photo.data);
    canvas.getContext("2d").putImageData(image, 0, 0);
    const told = story ? `${i + 1} ${frame.title}` : `${frame.title} says ${frame.top[0].label}`;
    button.lastChild.textContent = m ? told : `${story ? told : frame.title}: no value here`;
    button.onclick = () => go(i + 1);
  });
  const first = maps.findIndex(Boolean);
  if (first < 0) { $("stripnote").textContent = ""; return; }
  if (storyShown()) { $("stripnote").textContent = sharedNote(maps, scales); return; }
  const shared = scales[first], bounded = maps[first].bounds.every((b) => b !== null);
  const own = $("scale").value === "image" || ($("scale").value === "raw" && !bounded);
  $("stripnote").textContent = `One scale for all ${story ? "stops" : "steps"} here: ${number(shared[0])} to ${number(shared[1])}.` + (own ? " The large picture has its own." : "");
}

// Which stops of a story share a scale: those that show the same quantity.
function sharedNote(maps, scales) {
  const groups = new Map();
  maps.forEach((m, i) => {
    if (!m) return;
    if (!groups.has(m.map.share)) groups.set(m.map.share, []);
    groups.get(m.map.share).push(i);
  });
  const told = [...groups.values()].filter((stops) => stops.length > 1).map((stops) => {
    const [low, high] = scales[stops[0]];
    return `${stops.map((i) => i + 1).join(", ")}: ${number(low)} to ${number(high)}`;
  });
  if (!told.length) return "Every stop shows another quantity and has its own scale.";
  return `Stops that show the same quantity share one scale (${told.join("; ")}); each other stop has its own.`;
}

function paintTop(frame) {
  const list = $("top");
  list.replaceChildren();
  for (const p of frame.top) {
    const row = document.createElement("button");
    row.type = "button";
    row.title = "Show the class map of this class at every step";
    const name = document.createElement("span"), bar = document.createElement("i"), value = document.createElement("b");
    name.textContent = p.label;
    bar.style.setProperty("--p", p.probability);
    value.textContent = (100 * p.probability).toFixed(1) + " %";
    row.append(name, bar, value);
    row.onclick = () => { $("map").value = "cam"; $("class").value = String(p.class_index); draw(); };
    row.setAttribute("aria-pressed", String($("map").value === "cam" && $("class").value === String(p.class_index)));
    list.append(row);
  }
}

function paintTable() {
  const body = $("table").tBodies[0], full = state.data.picture.full;
  body.replaceChildren();
  const rows = shownBoxes();
  for (const { stop, box } of rows) {
    const tr = body.insertRow();
    const overlap = state.own ? iou(box, state.own).toFixed(3) : "draw one";
    const share = (100 * box.area / (full[0] * full[1])).toFixed(1) + " %";
    for (const v of [stop, box.x0, box.y0, box.x1, box.y1, share, overlap]) tr.insertCell().textContent = v;
  }
  if (!rows.length) {
    const cell = body.insertRow().insertCell();
    cell.colSpan = 7;
    cell.textContent = noBox();
  }
}

function noBox() {
  if (!$("showbox").checked) return "Boxes are switched off.";
  const m = mapAt(state.stop);
  if (!m) return "No map at this step.";
  if (unboxed(m)) return "In a story the class maps have boxes; choose this map in the list to box it.";
  const [low, high] = rangeOf(m.values);
  return high > low ? `No part is as large as ${Number($("minarea").value)} % of the picture.` : "The map is flat: no box.";
}

// ---------------------------------------------------------------- reading values

function readout() {
  const p = $("readout"), data = state.data, m = mapAt(state.stop);
  if (!m) { p.textContent = missing(); return; }
  const [low, high] = rangeOf(m.values);
  const range = `${m.map.title}: ${number(low)} to ${number(high)} (${m.map.unit}), ${m.h} x ${m.w} cells.`;
  const bad = $("scale").value === "fixed" && !fixedRange() ? " The fixed numbers need the lower one first; the shared range is drawn." : "";
  if (!state.cursor) { p.textContent = `${range}${bad} Point at the picture to read a cell.`; return; }
  const [x, y] = state.cursor, g = data.geometry;
  if (x < g.seen[0] || x >= g.seen[2] || y < g.seen[1] || y >= g.seen[3]) {
    p.textContent = `x ${Math.floor(x)}, y ${Math.floor(y)}: the network did not see this.`;
    return;
  }
  const [row, col] = cellAt(g, state.cursor, m.h, m.w);
  p.textContent = `x ${Math.floor(x)}, y ${Math.floor(y)}: cell row ${row + 1}, column ${col + 1} has ${number(m.values[row * m.w + col])} ${m.map.unit}.`;
}

function missing() {
  return state.data.family === "tdam" && $("map").value !== "cam"
    ? "No searchlight at this step: it starts after the first pass." : "This map has no value at this step.";
}

function picturePoint(event) {
  const rect = $("base").getBoundingClientRect(), full = state.data.picture.full;
  const x = (event.clientX - rect.left) / rect.width * full[1], y = (event.clientY - rect.top) / rect.height * full[0];
  return [Math.min(Math.max(x, 0), full[1] - 1e-6), Math.min(Math.max(y, 0), full[0] - 1e-6)];
}

// ---------------------------------------------------------------- the user's own box

function setOwn(a, b) {
  const x0 = Math.round(Math.min(a[0], b[0])), x1 = Math.round(Math.max(a[0], b[0]));
  const y0 = Math.round(Math.min(a[1], b[1])), y1 = Math.round(Math.max(a[1], b[1]));
  state.own = x1 > x0 && y1 > y0 ? { x0, y0, x1, y1 } : null;
  fillOwn();
}

function fillOwn() {
  for (const input of root.querySelectorAll(".sl-own input")) {
    input.value = state.own ? state.own[input.dataset.k] : "";
    input.max = state.data ? (input.dataset.k[0] === "x" ? state.data.picture.full[1] : state.data.picture.full[0]) : "";
    input.min = "0";
  }
}

// Typed numbers count once all four are there; they are put in order and kept inside the picture.
function typedOwn() {
  const v = {};
  for (const input of root.querySelectorAll(".sl-own input")) {
    if (input.value === "") return;
    const limit = state.data.picture.full[input.dataset.k[0] === "x" ? 1 : 0];
    v[input.dataset.k] = Math.min(Math.max(Number(input.value), 0), limit);
  }
  setOwn([v.x0, v.y0], [v.x1, v.y1]);
  draw();
}

// ---------------------------------------------------------------- steps

function go(step) {
  if (!state.data) return;
  state.stop = Math.min(Math.max(step, 1), state.data.frames.length);
  draw();
}

function stop() {
  clearInterval(state.timer);
  state.timer = null;
  $("play").textContent = "Play";
  $("play").setAttribute("aria-pressed", "false");
}

function play() {
  if (state.timer) return stop();
  $("play").textContent = "Stop";
  $("play").setAttribute("aria-pressed", "true");
  state.timer = setInterval(() => go(state.stop % state.data.frames.length + 1), 900);
}

// ---------------------------------------------------------------- what the figure builder takes over

function panelOf() {
  const name = nameAt(state.stop), step = stepOf(state.stop);
  if (name !== "cam") return `${name}:${step}`;
  const chosen = $("class").value;
  return chosen === "best" ? `cam:${step}` : `cam@${chosen}:${step}`;
}

// ---------------------------------------------------------------- wiring

for (const name of ["map", "class", "scale", "palette", "interp", "components", "directions", "showkernel"]) $(name).addEventListener("change", () => {
  if (name === "map") state.wish = $("map").value; // a model without this map shows its class map; the next may have it
  draw();
});
for (const name of ["opacity", "threshold", "minarea", "low", "high"]) $(name).addEventListener("input", draw);
for (const name of ["crop", "showbox", "outline", "allsteps", "filter", "draw"]) $(name).addEventListener("change", () => {
  if (name === "filter" && $("filter").checked) $("allsteps").checked = true;
  if (name === "allsteps" && !$("allsteps").checked) $("filter").checked = false;
  $("frame").classList.toggle("drawing", $("draw").checked);
  draw();
});
$("step").addEventListener("input", () => go(Number($("step").value)));
$("prev").addEventListener("click", () => go(state.stop - 1));
$("next").addEventListener("click", () => go(state.stop + 1));
$("play").addEventListener("click", play);
$("clear").addEventListener("click", () => { state.own = null; fillOwn(); draw(); });
for (const input of root.querySelectorAll(".sl-own input")) input.addEventListener("change", typedOwn);
$("add").addEventListener("click", () => {
  const panel = panelOf();
  const fixed = fixedRange();
  $("added").textContent = "Added to the figure below, with palette, interpolation, opacity and scale of this view.";
  trigger("add_panel", {
    panel, palette: $("palette").value, interpolation: $("interp").value, opacity: Number($("opacity").value) / 100,
    scale: $("scale").value === "fixed" && !fixed ? "steps" : $("scale").value, fixed, threshold: Number($("threshold").value) / 100,
  });
});

const frame = $("frame");
frame.addEventListener("pointermove", (event) => {
  if (!state.data) return;
  state.cursor = picturePoint(event);
  if (state.drag) setOwn(state.drag, state.cursor);
  paintOver(mapAt(state.stop));
  readout();
});
frame.addEventListener("pointerdown", (event) => {
  if (!state.data) return;
  state.cursor = picturePoint(event);
  if (!$("draw").checked && kernelNow()) state.point = state.cursor;
  if ($("draw").checked) { state.drag = state.cursor; frame.setPointerCapture(event.pointerId); event.preventDefault(); }
  paintOver(mapAt(state.stop));
  paintKernelPanel();
  readout();
});
frame.addEventListener("pointerup", () => { if (state.drag) { state.drag = null; draw(); } });
frame.addEventListener("pointerleave", () => { if (!state.data || state.drag) return; state.cursor = null; paintOver(mapAt(state.stop)); readout(); });

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
root.addEventListener("keydown", (event) => {
  if (!state.data || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const move = MOVES[event.key];
  if (move && (event.shiftKey || event.target === $("kgrid")) && $("showkernel").checked && moveCell(...move)) {
    paintOver(mapAt(state.stop));
    paintKernelPanel();
    readout();
  } else if (move && event.shiftKey) {
    const full = state.data.picture.full, at = state.cursor || [full[1] / 2, full[0] / 2];
    const reach = Math.max(1, Math.round(Math.max(...full) / 40));
    state.cursor = [Math.min(Math.max(at[0] + move[0] * reach, 0), full[1] - 1), Math.min(Math.max(at[1] + move[1] * reach, 0), full[0] - 1)];
    paintOver(mapAt(state.stop));
    readout();
  } else if (event.key === "ArrowLeft") go(state.stop - 1);
  else if (event.key === "ArrowRight") go(state.stop + 1);
  else if (event.key === "Home") go(1);
  else if (event.key === "End") go(state.data.frames.length);
  else if (event.key === " " && event.target === frame) play();
  else return;
  event.preventDefault();
});

// A click on a bar of the channel plot, which its host does not report to the server.
new MutationObserver(() => {
  for (const plot of document.querySelectorAll("#channel-plot .js-plotly-plot")) {
    if (plot.dataset.watched || !plot.on) continue;
    plot.dataset.watched = "yes";
    plot.on("plotly_click", (event) => {
      const channel = event.points && event.points[0] && event.points[0].customdata;
      const index = Array.isArray(channel) ? channel[0] : channel;
      if (Number.isInteger(index)) trigger("pick_channel", { channel: index });
    });
  }
}).observe(document.body, { childList: true, subtree: true });

watch("value", receive);
watch("extra", receiveExtra);
receive();
