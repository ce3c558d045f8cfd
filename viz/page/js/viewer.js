// The viewer: one message brings the picture and all maps of all steps; everything after that happens here, without a
// call to the server. A stop is one position of the slider, counted from 1; several may lie in one computation step.
import { COLOURS, drawPicture, gradient, OWN, Pen, shrunk } from "./canvas.js";
import {
  drawDirections, drawKernel, drawVector, kernelOf, kernelSquares, kernelWords, nextCell, vectorWords,
} from "./kernel.js";
import { CLASS_MAP, labelOf, panelSpec, STORY } from "./map_spec.js";
import { decodeMaps, decodeViewer } from "./messages.js";
import {
  cellAt, iou, iouFilter, isSeen, maskAt, numberText, percent, rangeOf, scaleFor, seesAll, symmetric,
} from "./numbers.js";
import { groupedOptions, make, tableRow, View } from "./view.js";

/** @typedef {import("./types").ErrorMessage} ErrorMessage */
/** @typedef {import("./types").FrameEntry} Frame */
/** @typedef {import("./types").MapEntry} MapEntry */
/** @typedef {import("./types").MoreMaps} MoreMaps */
/** @typedef {import("./types").ViewerMessage} ViewerMessage */
/** @typedef {import("./numbers.js").PartBox} PartBox */
/** @typedef {import("./numbers.js").Scale} Scale */
/** @typedef {import("./view.js").Drawn} Drawn */
/** @typedef {import("./view.js").Host} Host */

const CONTROLS = [
  "map", "class", "scale", "low", "high", "palette", "interp", "opacity", "crop", "showkernel", "directions",
  "showbox", "threshold", "components", "minarea", "outline", "allsteps", "filter", "draw",
];
/** An entry of the list of classes besides classes: the best class of each step. */
const BEST = "best";
/** State that the strip of thumbnails depends on. */
const STRIP = ["map", "class", "scale", "palette", "interp", "opacity", "low", "high"];
const PLAY_MILLISECONDS = 900;

/** @param {ViewerMessage} data */
const hasStory = (data) => data.frames.some((frame) => frame.show);

/**
 * Number of a stop's best class; null for an output without classes.
 * @param {Frame} frame
 */
const bestOf = (frame) => frame.top[0]?.class_index ?? null;

/**
 * Whether a map belongs to a class, rather than to an output without classes.
 * @param {MapEntry} map
 */
const hasClass = (map) => map.kind === CLASS_MAP && map.class_index !== null;

/**
 * The last stop of a computation step.
 * @param {Frame[]} frames
 * @param {number} step
 */
const lastStop = (frames, step) => frames.map((frame) => frame.step).lastIndexOf(step) + 1 || frames.length;

/** @param {MapEntry} entry */
const isBounded = (entry) => entry.bounds.every((bound) => bound !== null);

export class Viewer extends View {
  /**
   * @param {HTMLElement} element
   * @param {Host} host
   */
  constructor(element, host) {
    // `wish` is the map that the user chose last. A model without it shows its class map; the next may have it.
    super(element, "sl", host, CONTROLS, { wish: null, point: null, playing: false }, 48);
    this.light.add("point");
    this.drawnStrip = "";
    this.stopPlaying = () => {};
    this.frame = /** @type {HTMLElement} */ (this.find("frame"));
    this.editor.watch(this.frame, this.find("base"), (point) => (this.kernelNow() ? { point } : {}));
    this.root.addEventListener("keydown", (event) => this.keyDown(event));
    this.find("play").addEventListener("click", () => this.play(!this.state.playing));
    this.find("add").addEventListener("click", () => this.addPanel());
  }

  /** @returns {ViewerMessage} */
  get data() {
    return this.state.data;
  }

  // -------------------------------------------------------------- messages

  /**
   * Receive a message from the server.
   * @param {ViewerMessage | ErrorMessage | null} message
   */
  receive(message) {
    if (!message) return;
    this.say("error" in message ? message.error : "");
    if (!("error" in message)) {
      decodeViewer(message);
      this.load(message);
    } else if (message.refused) {
      this.root.dataset.refused = message.refused;
      this.host.send("refused", {});
    }
  }

  /**
   * Receive further maps for what is already shown: another class, a channel's feature maps.
   * @param {MoreMaps | ErrorMessage | null} message
   */
  extend(message) {
    if (!message || !this.data) return;
    if ("error" in message) {
      this.say(message.error);
      return;
    }
    if (message.key !== this.data.key) return;
    this.say("");
    const isNew = (/** @type {MapEntry} */ m) => (
      message.maps.some((o) => o.name === m.name && o.class_index === m.class_index)
    );
    const maps = [...this.data.maps.filter((m) => !isNew(m)), ...decodeMaps(message.maps)];
    const data = { ...this.data, maps, pick: message.pick, show: message.show };
    const chosen = message.maps.find((m) => m.name === message.show);
    const hasStep = !chosen || chosen.steps.some((cells) => cells.step === this.stepOf());
    const stop = hasStep ? this.state.stop : lastStop(data.frames, chosen.steps[chosen.steps.length - 1].step);
    this.store.set({ data, stop, ...this.offerMaps(data, this.state.map) });
    this.sync();
    this.root.scrollIntoView({ block: "start", behavior: "smooth" });
  }

  /** @param {string} text A sentence about a refused file; "" removes it. */
  say(text) {
    this.write({ banner: text });
    this.hide({ banner: !text });
    this.root.dataset.error = text;
  }

  /** @type {(data: ViewerMessage, before: ViewerMessage | null, isSame: boolean) => object} */
  begin(data, before, isSame) {
    this.play(false);
    this.drawnStrip = "";
    for (const canvas of [this.find("base"), this.find("over")]) {
      canvas.width = data.picture.width;
      canvas.height = data.picture.height;
    }
    this.write({ model: data.model.title, file: this.about(data.picture) });
    const isAgain = before !== null && before.model.name === data.model.name;
    const stops = data.frames.length;
    this.root.dataset.stops = String(stops);
    this.root.dataset.steps = String(new Set(data.frames.map((frame) => frame.step)).size);
    this.hide({ steps: stops < 2, strip: stops < 2, stripnote: stops < 2 });
    for (const label of this.root.querySelectorAll(".sl-multi")) label.toggleAttribute("hidden", stops < 2);
    const first = hasStory(data) ? 1 : stops;
    return {
      stop: Math.min(isAgain ? this.state.stop : first, stops),
      ...(isSame ? {} : { point: null }),
      // A model's own walkthrough comes first.
      ...this.offerMaps(data, !isAgain && hasStory(data) ? STORY : this.state.map),
    };
  }

  /**
   * List the maps and classes of a message; returns which of them are chosen, given the map chosen last.
   * @type {(data: ViewerMessage, last: string) => { map: string, class: string, palette: string }}
   */
  offerMaps(data, last) {
    const classes = data.maps.filter((map) => map.kind === CLASS_MAP);
    const others = data.maps.filter((map) => map.kind !== CLASS_MAP);
    const story = hasStory(data) ? [new Option("guided walkthrough", STORY)] : [];
    const outputs = classes.length ? [new Option(data.output.title, CLASS_MAP)] : [];
    const list = this.find("map");
    list.replaceChildren(...story, ...outputs, ...groupedOptions(others, (m) => m.title));
    const offered = [...list.options].map((option) => option.value);
    const isLost = last === CLASS_MAP || (last === STORY && !story.length);
    const wish = isLost && this.state.wish ? this.state.wish : last;
    const isAlike = (/** @type {string} */ name) => wish && name !== CLASS_MAP && labelOf(name) === labelOf(wish);
    const usual = outputs.length ? CLASS_MAP : offered[0] || CLASS_MAP;
    this.find("class").replaceChildren(
      new Option("each step's best class", BEST),
      ...classes.filter(hasClass).map((map) => new Option(map.title, String(map.class_index))),
    );
    const isKnown = classes.some((map) => String(map.class_index) === this.state.class);
    this.offerPalettes([new Option("fits the map", "auto")]);
    const chosen = {
      map: (offered.includes(wish) ? wish : offered.find(isAlike)) || usual,
      class: isKnown ? this.state.class : BEST,
      palette: this.state.palette || "auto",
    };
    if (offered.includes(data.show)) chosen.map = data.show;
    return data.pick == null ? chosen : { ...chosen, map: CLASS_MAP, class: String(data.pick) };
  }

  /** @type {(name: string, value: any) => object} */
  chosen(name, value) {
    if (name === "map") return { map: value, wish: value };
    if (name === "filter" && value) return { filter: true, allsteps: true };
    if (name === "allsteps" && !value) return { allsteps: false, filter: false };
    return { [name]: value };
  }

  // -------------------------------------------------------------- which map at which stop

  last() {
    return this.data ? this.data.frames.length : 1;
  }

  frameAt(stop = this.state.stop) {
    return this.data.frames[stop - 1];
  }

  stepOf(stop = this.state.stop) {
    return this.frameAt(stop).step;
  }

  get inStory() {
    return this.state.map === STORY;
  }

  /** Name of the map that a stop shows. */
  nameAt(stop = this.state.stop) {
    return this.inStory ? this.frameAt(stop).show || CLASS_MAP : this.state.map;
  }

  /**
   * The map that a stop shows; null if it has no value there.
   * @returns {Drawn | null}
   */
  mapAt(stop = this.state.stop) {
    const { maps } = this.data;
    const name = this.nameAt(stop);
    const chosen = this.state.class;
    const index = chosen === BEST ? bestOf(this.frameAt(stop)) : Number(chosen);
    const entry = name === CLASS_MAP
      ? maps.find((map) => map.kind === CLASS_MAP && map.class_index === index)
      : maps.find((map) => map.name === name);
    const cells = entry && entry.steps.find((found) => found.step === this.stepOf(stop));
    return cells ? { ...cells, entry, key: [name, entry.class_index, cells.step].join("|") } : null;
  }

  /** @returns {(Drawn | null)[]} The map of each stop. */
  allMaps() {
    return this.data.frames.map((_, i) => this.mapAt(i + 1));
  }

  /**
   * The map at the pixels of a rendering.
   * @type {(map: Drawn, width: number, height: number, how?: import("./numbers.js").Interpolation) => Float32Array}
   */
  samples(map, width, height, how = this.state.interp) {
    return this.sampled(map, this.data.geometry, width, height, how);
  }

  // -------------------------------------------------------------- scale and palette

  /**
   * The two numbers of a fixed scale, or null if they are not a range.
   * @returns {Scale | null}
   */
  fixedRange() {
    const { low, high } = this.state;
    return low !== "" && high !== "" && Number(low) < Number(high) ? [Number(low), Number(high)] : null;
  }

  /**
   * Every map that shares a colour scale with this one: all steps of all shown classes; in a walkthrough, the stops
   * that show the same quantity.
   * @param {Drawn} map
   */
  sharing({ entry }) {
    if (entry.kind !== CLASS_MAP) {
      const drawn = this.allMaps().filter(Boolean);
      return this.inStory ? drawn.filter((other) => other.entry.share === entry.share) : drawn;
    }
    if (this.state.class !== BEST) return entry.steps;
    const shown = new Set(this.data.frames.map(bestOf));
    const classes = this.data.maps.filter((other) => other.kind === CLASS_MAP && shown.has(other.class_index));
    return classes.flatMap((other) => other.steps);
  }

  /** @type {(map: Drawn, mode?: "raw" | "image" | "steps" | "fixed") => Scale} */
  scaleOf(map, mode = this.state.scale) {
    const fixed = this.fixedRange();
    // Without two valid numbers the shared range is used, and the readout says so.
    const usable = mode === "fixed" && !fixed ? "steps" : mode;
    const scale = scaleFor({ ...map, bounds: map.entry.bounds }, usable, this.sharing(map), fixed);
    return this.paletteOf(map) === "diverging" ? symmetric(scale, map.entry.neutral) : scale;
  }

  /**
   * The diverging palette is for maps with a neutral value; others take inferno, as in an exported figure.
   * @param {Drawn} map
   */
  paletteOf({ entry }) {
    const { palette } = this.state;
    if (palette === "auto") return entry.palette;
    return palette === "diverging" && entry.neutral === null ? "inferno" : palette;
  }

  /** @type {(map: Drawn, width: number, height: number, scale: Scale) => import("./canvas.js").Look} */
  look(map, width, height, scale) {
    const { luts, opacity } = this.state;
    const lut = luts[this.paletteOf(map)];
    return { values: this.samples(map, width, height), scale, lut, opacity: opacity / 100 };
  }

  // -------------------------------------------------------------- boxes

  /**
   * Boxes say where something is: in a walkthrough only class maps have them; a map that the user chooses always has.
   * @param {Drawn} map
   */
  isUnboxed(map) {
    return this.inStory && map.entry.kind !== CLASS_MAP;
  }

  /** @type {(stop: number) => PartBox[]} */
  boxesAt(stop) {
    const map = this.mapAt(stop);
    if (!map || this.isUnboxed(map)) return [];
    const { components, minarea } = this.state;
    const bilinear = (width, height) => this.samples(map, width, height, "bilinear");
    return this.boxesOf(map, bilinear, components, minarea / 100);
  }

  /**
   * Boxes with the number of their stop; without a walkthrough that is the step.
   * @returns {{ stop: number, box: PartBox }[]}
   */
  shownBoxes() {
    const { showbox, allsteps, filter, stop } = this.state;
    if (!showbox) return [];
    const stops = this.data.frames.map((_, i) => i + 1);
    const ofStop = (/** @type {number} */ s) => this.boxesAt(s).map((box) => ({ stop: s, box }));
    if (!allsteps || stops.length < 2) return ofStop(stop);
    if (!filter) return stops.flatMap(ofStop);
    const best = stops.map((s) => (
      { stop: s, probability: this.frameAt(s).top[0]?.number ?? 0, box: this.boxesAt(s)[0] || null }
    ));
    const kept = iouFilter(best).filter((entry) => entry.box);
    return [...new Map(kept.map(({ stop: s, box }) => [s, { stop: s, box }])).values()];
  }

  // -------------------------------------------------------------- drawing

  paint() {
    super.paint();
    const { stop, minarea, scale, draw } = this.state;
    const { data } = this;
    const { width, height } = data.picture;
    const frame = this.frameAt();
    const map = this.mapAt();
    const drawn = map && this.look(map, width, height, this.scaleOf(map));
    drawPicture(this.find("base"), this.state.photo, drawn);
    this.frame.classList.toggle("drawing", draw);
    this.paintBar(map, drawn);
    this.paintOver(map);
    this.find("step").setAttribute("aria-valuetext", frame.title);
    this.write({
      steplabel: hasStory(data) ? `${stop} of ${this.last()}: ${frame.title}` : `${frame.title} of ${this.last()}`,
      stopword: hasStory(data) ? "stop" : "step",
      caption: frame.caption,
      minv: `${minarea} % of the picture`,
    });
    this.hide({ classrow: this.nameAt() !== CLASS_MAP || !this.data.maps.some(hasClass), fixed: scale !== "fixed" });
    this.paintVector(this.inStory ? frame.vector : null);
    this.paintKernel();
    this.paintStrip();
    this.paintTop(frame);
    this.paintTable();
    this.write({ readout: this.reading(map) });
    this.root.dataset.step = String(frame.step);
    this.root.dataset.stop = String(stop);
  }

  /** @param {Set<string>} changed */
  touched(changed) {
    const map = this.mapAt();
    this.paintOver(map);
    if (changed.has("point")) this.paintKernel();
    if (changed.has("own")) this.paintTable();
    this.write({ readout: this.reading(map) });
  }

  /** @param {Drawn | null} map */
  paintOver(map) {
    const { outline, threshold, crop, own, cursor } = this.state;
    const { geometry, picture } = this.data;
    const pen = new Pen(this.find("over"), picture.full, this.frame.clientWidth);
    if (map && outline) {
      const mask = maskAt(this.samples(map, picture.width, picture.height, "bilinear"), threshold / 100);
      if (mask) pen.edge(mask, picture.width);
    }
    const isWhole = seesAll(geometry);
    this.find("crop").closest("label").hidden = isWhole;
    if (crop && !isWhole) pen.seen(geometry.seen);
    const now = this.kernelNow();
    if (now) {
      const how = this.directions();
      const cell = this.cellOf(now);
      if (how !== "off") drawDirections(pen, geometry, now, how);
      if (cell) drawKernel(pen, geometry, now, cell, this.state.luts.diverging);
    }
    for (const { stop, box } of this.shownBoxes()) {
      const colour = COLOURS[(stop - 1) % COLOURS.length];
      pen.outline(box, colour, 2.5);
      pen.tag(String(stop), box, colour);
    }
    if (own) {
      pen.outline(own, OWN, 2);
      pen.tag("mine", own, OWN);
    }
    if (cursor) pen.ring(cursor);
  }

  /**
   * The colour bar.
   * @type {(map: Drawn | null, drawn: { scale: Scale, lut: Uint8Array } | null) => void}
   */
  paintBar(map, drawn) {
    this.find("bar").style.visibility = map ? "visible" : "hidden";
    if (!map) {
      this.find("ticks").replaceChildren();
      return;
    }
    const [low, high] = drawn.scale;
    const { neutral, unit } = map.entry;
    this.find("lut").style.setProperty("--stops", gradient(drawn.lut));
    const marks = [[high, 0], [(low + high) / 2, 50], [low, 100]].map(([v, at]) => ({ text: numberText(v), at }));
    if (neutral !== null && neutral > low && neutral < high) {
      const at = 100 * (high - neutral) / (high - low);
      const room = this.frame.clientWidth < 500 ? 30 : 12;
      const text = `${numberText(neutral)} neutral`;
      if (marks.every((mark) => Math.abs(mark.at - at) > room)) marks.push({ text, at });
    }
    const ticks = marks.map(({ text, at }) => {
      const tick = make("span", "", text);
      tick.style.setProperty("--at", `${at}%`);
      return tick;
    });
    this.find("ticks").replaceChildren(...ticks, make("em", "", unit));
  }

  // -------------------------------------------------------------- kernels and vectors

  kernelNow() {
    return kernelOf(this.data, this.frameAt(), this.nameAt());
  }

  /**
   * The chosen cell of a kernel; null if none is shown.
   * @param {import("./kernel.js").KernelNow} now
   */
  cellOf({ map }) {
    const { point, showkernel } = this.state;
    return point && showkernel ? cellAt(this.data.geometry, point, map.h, map.w) : null;
  }

  directions() {
    const { directions } = this.state;
    if (directions !== "story") return directions;
    return this.inStory && this.frameAt().arrows ? "arrows" : "off";
  }

  /** The kernel of the chosen cell in numbers; arrow keys on them move the cell. */
  paintKernel() {
    const { geometry, kernels } = this.data;
    for (const label of this.root.querySelectorAll(".sl-kernelonly")) label.toggleAttribute("hidden", !kernels.length);
    const now = this.state.showkernel ? this.kernelNow() : null;
    const cell = now && this.cellOf(now);
    this.hide({ kernel: !now, kgrid: !cell });
    if (!now) return;
    this.write({ ksaid: kernelWords(geometry, now, cell) });
    if (!cell) return;
    const grid = this.find("kgrid");
    grid.style.setProperty("--k", now.kernel.k);
    grid.replaceChildren(...kernelSquares(geometry, now, cell, this.state.luts.diverging));
    [grid.dataset.row, grid.dataset.column] = cell;
  }

  /** @param {import("./types").VectorEntry | null} vector */
  paintVector(vector) {
    const box = this.find("vector");
    box.hidden = !vector;
    if (!vector) return;
    drawVector(this.find("bars"), vector, Math.max(200, box.clientWidth), getComputedStyle(this.root).color);
    this.write({ vectorsaid: vectorWords(vector) });
  }

  // -------------------------------------------------------------- the strip of all stops

  paintStrip() {
    const strip = this.find("strip");
    const { data } = this;
    const { stop } = this.state;
    if (this.last() < 2) return;
    const drawn = [data.key, data.maps.length, ...STRIP.map((name) => this.state[name])].join("|");
    if (drawn !== this.drawnStrip) this.drawStrip(strip);
    this.drawnStrip = drawn;
    data.frames.forEach((_, i) => strip.children[i].setAttribute("aria-pressed", String(i + 1 === stop)));
    const now = strip.children[stop - 1]; // scrolls the stop into view if the strip is one scrolling row
    if (strip.scrollWidth > strip.clientWidth) {
      strip.scrollLeft = now.offsetLeft - (strip.clientWidth - now.offsetWidth) / 2;
    }
  }

  /**
   * The strip always has shared scales; the range of the operation is used if it has both bounds.
   * @param {Drawn} map
   */
  stripScale(map) {
    const { scale } = this.state;
    return this.scaleOf(map, scale === "fixed" || (scale === "raw" && isBounded(map.entry)) ? scale : "steps");
  }

  /** @param {HTMLElement} strip */
  drawStrip(strip) {
    const { frames, picture } = this.data;
    const story = hasStory(this.data);
    const factor = Math.min(1, (story ? 160 : 240) / Math.max(picture.width, picture.height));
    const [w, h] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * factor)));
    strip.classList.toggle("many", frames.length > 3);
    while (strip.children.length < frames.length) {
      const button = make("button");
      button.type = "button";
      const stop = strip.children.length + 1;
      button.addEventListener("click", () => this.go(stop));
      button.append(make("canvas"), make("span"));
      strip.append(button);
    }
    while (strip.children.length > frames.length) strip.lastChild.remove();
    const maps = this.allMaps();
    const scales = maps.map((map) => map && this.stripScale(map));
    const photo = shrunk(this.state.photo, w, h);
    frames.forEach((frame, i) => {
      const [canvas, words] = /** @type {any} */ (strip.children[i].children);
      canvas.width = w;
      canvas.height = h;
      drawPicture(canvas, photo, maps[i] && this.look(maps[i], w, h, scales[i]));
      const short = story ? `${i + 1} ${frame.title}` : frame.title;
      const full = story || !frame.top.length ? short : `${frame.title}: ${frame.top[0].label}`;
      words.textContent = maps[i] ? full : `${short}: no value here`;
    });
    this.write({ stripnote: this.stripNote(maps, scales) });
  }

  /**
   * A note on the scales of the strip.
   * @type {(maps: (Drawn | null)[], scales: (Scale | null)[]) => string}
   */
  stripNote(maps, scales) {
    const first = maps.findIndex(Boolean);
    if (first < 0) return "";
    if (this.inStory) return storyScales(maps, scales);
    const { scale } = this.state;
    const [low, high] = scales[first].map(numberText);
    const isOwn = scale === "image" || (scale === "raw" && !isBounded(maps[first].entry));
    const stops = hasStory(this.data) ? "stops" : "steps";
    return `One scale for all ${stops} here: ${low} to ${high}.${isOwn ? " The large picture has its own." : ""}`;
  }

  // -------------------------------------------------------------- predictions and table

  /** @param {Frame} frame */
  paintTop({ top }) {
    this.find("top").replaceChildren(...top.map(({ label, class_index, number }) => {
      const row = make("button");
      const index = String(class_index);
      row.type = "button";
      row.title = `Show the ${this.data.output.title} of this class at every step`;
      const bar = make("i");
      bar.style.setProperty("--p", String(number));
      row.append(make("span", "", label), bar, make("b", "", percent(number)));
      row.addEventListener("click", () => this.store.set({ map: CLASS_MAP, class: index }));
      const isShown = this.state.map === CLASS_MAP && this.state.class === index;
      row.setAttribute("aria-pressed", String(isShown));
      return row;
    }));
  }

  paintTable() {
    const { own } = this.state;
    const [height, width] = this.data.picture.full;
    const rows = this.shownBoxes().map(({ stop, box }) => tableRow([
      stop, box.x0, box.y0, box.x1, box.y1, percent(box.area / (height * width)),
      own ? iou(box, own).toFixed(3) : "draw one",
    ]));
    if (!rows.length) {
      rows.push(tableRow([this.noBox()]));
      rows[0].cells[0].colSpan = 7;
    }
    this.find("table").tBodies[0].replaceChildren(...rows);
  }

  noBox() {
    if (!this.state.showbox) return "Boxes are hidden.";
    const map = this.mapAt();
    if (!map) return "No map at this step.";
    if (this.isUnboxed(map)) {
      return "The walkthrough draws boxes for class maps only. Select this map in the list to see its boxes.";
    }
    const [low, high] = rangeOf(map.values);
    return high > low ? `No part is as large as ${this.state.minarea} % of the picture.` : "The map is flat: no box.";
  }

  /** @param {Drawn | null} map */
  reading(map) {
    const { cursor, scale } = this.state;
    const { geometry } = this.data;
    if (!map) {
      return this.state.map === CLASS_MAP ? "This map has no value at this step." : this.data.missing;
    }
    const { title, unit } = map.entry;
    if (!cursor) {
      const [low, high] = rangeOf(map.values).map(numberText);
      const isBad = scale === "fixed" && !this.fixedRange();
      const bad = isBad ? " The fixed numbers need the lower one first; the shared range is used." : "";
      const range = `${title}: ${low} to ${high} (${unit}), ${map.h} x ${map.w} cells.`;
      return `${range}${bad} Point at the picture to read a cell.`;
    }
    const place = `x ${Math.floor(cursor[0])}, y ${Math.floor(cursor[1])}`;
    if (!isSeen(geometry, cursor)) return `${place}: the network did not see this.`;
    const [row, column] = cellAt(geometry, cursor, map.h, map.w);
    const value = numberText(map.values[row * map.w + column]);
    return `${place}: cell row ${row + 1}, column ${column + 1} has ${value} ${unit}.`;
  }

  // -------------------------------------------------------------- keys and buttons

  /**
   * @param {KeyboardEvent} event
   * @param {[number, number] | undefined} move
   */
  pressed(event, move) {
    const isOnCell = move && (event.shiftKey || event.target === this.find("kgrid")) && this.state.showkernel;
    const now = isOnCell ? this.kernelNow() : null;
    if (now) {
      const point = nextCell(this.data.geometry, now.map, this.state.point, move);
      this.store.set({ point, cursor: point });
      return true;
    }
    if (event.key === " " && event.target === this.frame) this.play(!this.state.playing);
    else return super.pressed(event, move);
    return true;
  }

  /** @param {boolean} playing */
  play(playing) {
    this.stopPlaying();
    if (playing) {
      this.stopPlaying = this.host.every(PLAY_MILLISECONDS, () => this.go(this.state.stop % this.last() + 1));
    }
    this.store.set({ playing });
    this.write({ play: playing ? "Stop" : "Play" });
    this.find("play").setAttribute("aria-pressed", String(playing));
  }

  /** Pass the view to the figure builder. */
  addPanel() {
    const { palette, interp, opacity, scale, threshold } = this.state;
    const fixed = this.fixedRange();
    this.write({ added: "Added to the figure below, with palette, interpolation, opacity and scale of this view." });
    this.host.send("add_panel", {
      panel: panelSpec(this.nameAt(), this.stepOf(), this.state.class, this.data.output.name),
      palette,
      interpolation: interp,
      opacity: opacity / 100,
      scale: scale === "fixed" && !fixed ? "steps" : scale,
      fixed,
      threshold: threshold / 100,
    });
  }
}

/**
 * Which stops of a walkthrough share a scale: those that show the same quantity.
 * @param {(Drawn | null)[]} maps
 * @param {(Scale | null)[]} scales
 */
function storyScales(maps, scales) {
  /** @type {Map<string, number[]>} */
  const groups = new Map();
  maps.forEach((map, i) => {
    if (map) groups.set(map.entry.share, [...(groups.get(map.entry.share) || []), i]);
  });
  const told = [...groups.values()].filter((stops) => stops.length > 1).map((stops) => {
    const [low, high] = scales[stops[0]].map(numberText);
    return `${stops.map((i) => i + 1).join(", ")}: ${low} to ${high}`;
  });
  if (!told.length) return "Every stop shows a different quantity and has its own scale.";
  return `Stops that show the same quantity share one scale (${told.join("; ")}); every other stop has its own.`;
}

/**
 * Show the viewer in an element that holds its template.
 * @type {(element: HTMLElement, message: ViewerMessage | ErrorMessage | null, host: Host) => Viewer}
 */
export function mount(element, message, host) {
  const viewer = new Viewer(element, host);
  viewer.receive(message);
  return viewer;
}
