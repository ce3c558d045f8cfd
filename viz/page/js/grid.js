// The grid: one message brings the picture and all maps of all columns; everything after that happens here. A column is
// a model or, in a message with `kind: "maps"`, one source of maps of one model.
import { agreementOf } from "./agreement.js";
import { COLOURS, drawPicture, gradient, OWN, Pen } from "./canvas.js";
import { CLASS_MAP } from "./map_spec.js";
import { decodeMaps } from "./messages.js";
import { cellAt, iou, numberText, percent, rangeOver, sampleMap, seesAll, symmetric } from "./numbers.js";
import { groupedOptions, make, tableRow, View } from "./view.js";

/** @typedef {import("./types").Column} Column */
/** @typedef {import("./types").GridMessage} GridMessage */
/** @typedef {import("./types").MapEntry} MapEntry */
/** @typedef {import("./types").MoreAttributions} MoreAttributions */
/** @typedef {import("./types").PictureEntry} Picture */
/** @typedef {import("./types").StaleMessage} StaleMessage */
/** @typedef {import("./numbers.js").PartBox} PartBox */
/** @typedef {import("./numbers.js").Scale} Scale */
/** @typedef {import("./view.js").Drawn} Drawn */
/** @typedef {import("./view.js").Host} Host */

/**
 * @typedef {object} Panel The elements of one column.
 * @property {number} index
 * @property {Column} model
 * @property {HTMLElement} figure
 * @property {HTMLElement} frame
 * @property {HTMLSelectElement} select
 * @property {HTMLElement} says
 * @property {HTMLElement} value
 * @property {HTMLElement} bar
 * @property {HTMLCanvasElement} base
 * @property {HTMLCanvasElement} over
 */

const CONTROLS = ["class", "scale", "palette", "interp", "opacity", "threshold", "showbox", "allbox", "draw"];
const PANEL_SIDE = 640;

/** @param {MapEntry} entry */
const unitOf = (entry) => entry.unit || entry.title;

/** @param {number} value */
const shown = (value) => (Number.isFinite(value) ? value.toFixed(3) : "none");

/**
 * @param {HTMLSelectElement} list
 * @param {string} value
 */
const offers = (list, value) => [...list.options].some((option) => option.value === value);

export class Grid extends View {
  /**
   * @param {HTMLElement} element
   * @param {Host} host
   */
  constructor(element, host) {
    // `maps` holds the name of the map in each column; `stale` says that the picture above has changed since.
    super(element, "cmp", host, CONTROLS, { maps: {}, stale: "" }, 96);
    this.light.add("stale");
    /** @type {Panel[]} */
    this.panels = [];
    this.find("grid").addEventListener("keydown", (event) => this.keyDown(event));
    this.find("samemap").addEventListener("change", (event) => this.showEverywhere(event.target.value));
    this.find("ask").addEventListener("click", () => this.host.send("ask_class", { class: this.state.class }));
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (this.root.querySelectorAll("[data-format]"))) {
      button.addEventListener("click", () => this.export(button.dataset.format));
    }
  }

  /** @returns {GridMessage} */
  get data() {
    return this.state.data;
  }

  // -------------------------------------------------------------- messages

  /**
   * Receive a message from the server.
   * @param {GridMessage | null} message
   */
  receive(message) {
    if (!message) return;
    for (const model of message.models) decodeMaps(model.maps);
    this.store.set({ stale: "" });
    this.load(message);
  }

  /**
   * Receive the attributions of one more class, or the note that the picture above has changed.
   * @param {MoreAttributions | StaleMessage | null} message
   */
  extend(message) {
    if (!message) return;
    if (!("add" in message)) this.store.set({ stale: message.stale || "" });
    else if (this.data) this.add(message);
  }

  /** @param {string} text */
  say(text) {
    this.store.set({ stale: text });
  }

  /** @param {MoreAttributions} message */
  add(message) {
    const models = this.data.models.map((model) => {
      const isKnown = (/** @type {MapEntry} */ map) => (
        model.maps.some((known) => known.name === map.name && known.cls === map.cls)
      );
      const fresh = (message.add[model.name] || []).filter((map) => !isKnown(map));
      return { ...model, maps: [...model.maps, ...decodeMaps(fresh)] };
    });
    for (const panel of this.panels) {
      panel.model = models[panel.index];
      for (const { name, title } of panel.model.maps) {
        if (!offers(panel.select, name) && name !== CLASS_MAP) panel.select.append(new Option(title, name));
      }
    }
    this.store.set({ data: { ...this.data, models } });
    this.root.dataset.more = message.class;
  }

  /** @param {Picture} picture */
  sizeOf({ width, height }) {
    const factor = Math.min(1, PANEL_SIDE / Math.max(width, height));
    return /** @type {[number, number]} */ ([width, height].map((side) => Math.max(1, Math.round(side * factor))));
  }

  /** @type {(data: GridMessage, before: GridMessage | null, isSame: boolean) => object} */
  begin(data, before, isSame) {
    const { classes, models, methods = [], explain = [], about } = data;
    const ofMaps = data.kind === "maps";
    this.root.style.setProperty("--columns", String(models.length === 4 ? 2 : Math.min(3, models.length)));
    this.find("class").replaceChildren(...classes.map((label) => new Option(label, label)));
    const everywhere = [["", "as chosen"], [CLASS_MAP, "class map"], ...methods];
    this.find("samemap").replaceChildren(...everywhere.map(([value, text]) => new Option(text, value)));
    this.find("explain").replaceChildren(...explain.map((line) => make("li", "", line)));
    const what = methods.length ? "class maps and attributions" : "the class maps";
    this.write({
      about: this.about(data.picture, about ? [about] : []),
      classlabel: `Class of ${what} (the first is the best of ${models[0].name})`,
    });
    this.offerPalettes();
    this.panels = models.map((model, index) => this.panel(model, index, ofMaps, this.sizeOf(data.picture)));
    this.find("grid").replaceChildren(...this.panels.map((panel) => panel.figure));
    const steps = Math.max(...models.map((model) => model.steps));
    this.hide({ samemaprow: !methods.length, explain: !explain.length, alllabel: ofMaps, steps: steps < 2 });
    return {
      maps: Object.fromEntries(this.panels.map(({ model, select }) => {
        const wish = (isSame && this.state.maps[model.name]) || model.pick;
        return [model.name, offers(select, wish) ? wish : select.options[0].value];
      })),
      class: isSame && classes.includes(this.state.class) ? this.state.class : classes[0],
      palette: this.state.palette || "inferno",
      stop: isSame ? Math.min(this.state.stop, steps) : steps,
    };
  }

  /** @type {(model: Column, index: number, ofMaps: boolean, size: [number, number]) => Panel} */
  panel(model, index, ofMaps, [width, height]) {
    const figure = make("figure", "cmp-panel");
    const head = make("figcaption", "cmp-head");
    const frame = make("div", "cmp-frame");
    const select = make("select", "cmp-map");
    const says = make("span", "cmp-says");
    const value = make("output", "cmp-value");
    const bar = make("div", "cmp-bar");
    const base = make("canvas", "cmp-base");
    const over = make("canvas", "cmp-over");
    for (const canvas of [base, over]) {
      canvas.width = width;
      canvas.height = height;
    }
    select.setAttribute("aria-label", `Map of ${model.name}`);
    const others = model.maps.filter((map) => map.kind !== CLASS_MAP);
    if (!ofMaps || others.length < model.maps.length) select.append(new Option("class map", CLASS_MAP));
    // A closed list shows no group, so a title shared by several modules or levels needs its group.
    const isCommon = (/** @type {MapEntry} */ map) => others.filter((other) => other.title === map.title).length > 1;
    select.append(...groupedOptions(others, (map) => (isCommon(map) ? `${map.title} (${map.group})` : map.title)));
    select.hidden = select.options.length < 2;
    select.addEventListener("change", () => (
      this.store.set({ maps: { ...this.state.maps, [model.name]: select.value } })
    ));
    head.append(make("strong", "", model.name), select, says);
    frame.append(base, over);
    figure.append(head, frame, bar, value);
    this.editor.watch(frame, base);
    return { model, index, figure, frame, select, says, value, bar, base, over };
  }

  // -------------------------------------------------------------- which map at which step

  get ofMaps() {
    return this.data.kind === "maps";
  }

  /** What a column stands for. */
  get one() {
    return this.ofMaps ? "map" : "model";
  }

  last() {
    return this.data ? Math.max(...this.data.models.map((model) => model.steps)) : 1;
  }

  /**
   * The step of a panel's model that is shown.
   * @param {Panel} panel
   */
  stepOf({ model }) {
    return Math.min(this.state.stop, model.steps);
  }

  /** @param {Panel} panel */
  nameOf({ model }) {
    return this.state.maps[model.name];
  }

  /**
   * The map that a panel shows, at all its steps. An attribution belongs to one class; those of other classes may not
   * have been computed.
   * @type {(panel: Panel) => MapEntry | undefined}
   */
  entryOf(panel) {
    const name = this.nameOf(panel);
    const label = this.state.class;
    return panel.model.maps.find((map) => (name === CLASS_MAP
      ? map.kind === CLASS_MAP && (map.title === label || map.class_index === null)
      : map.kind !== CLASS_MAP && map.name === name && (!map.cls || map.cls === label)));
  }

  /**
   * Whether a panel shows an attribution that could be computed for the chosen class, but has not been.
   * @param {Panel} panel
   */
  isUncomputed(panel) {
    const name = this.nameOf(panel);
    const { maps } = panel.model;
    return name !== CLASS_MAP && !this.entryOf(panel) && maps.some((map) => map.name === name && map.cls)
      && maps.some((map) => map.kind === CLASS_MAP && map.title === this.state.class);
  }

  /**
   * The map that a panel shows. Steps after the last value repeat it; steps before the first have none.
   * @type {(panel: Panel) => Drawn | null}
   */
  mapAt(panel) {
    const entry = this.entryOf(panel);
    if (!entry) return null;
    const step = this.stepOf(panel);
    const last = entry.steps[entry.steps.length - 1];
    const cells = entry.steps.find((found) => found.step === step) || (last.step < step ? last : null);
    const key = [panel.index, this.nameOf(panel), entry.title, entry.cls || ""];
    return cells ? { ...cells, entry, key: [...key, cells.step].join("|") } : null;
  }

  /** @returns {[Panel, Panel][]} Every two panels. */
  pairs() {
    return this.panels.flatMap((a, i) => (
      this.panels.slice(i + 1).map((b) => /** @type {[Panel, Panel]} */ ([a, b]))
    ));
  }

  // -------------------------------------------------------------- scale and palette

  /**
   * Panels that share a range: those with the same unit.
   * @param {Panel} panel
   */
  mates(panel) {
    const entry = this.entryOf(panel);
    if (!entry || this.state.scale === "each") return [panel];
    return this.panels.filter((other) => {
      const its = this.entryOf(other);
      return its && unitOf(its) === unitOf(entry);
    });
  }

  /** @type {(panel: Panel) => Scale} */
  scaleOf(panel) {
    const used = this.mates(panel).flatMap((mate) => (
      this.entryOf(mate).steps.filter((cells) => cells.step <= mate.model.steps)
    ));
    const scale = rangeOver(used.map((cells) => cells.values));
    return this.paletteOf(panel) === "diverging" ? symmetric(scale, this.entryOf(panel).neutral) : scale;
  }

  /**
   * The diverging palette is for maps with a neutral value, and for groups that have one in common.
   * @param {Panel} panel
   */
  paletteOf(panel) {
    const { palette } = this.state;
    if (palette !== "diverging") return palette;
    const neutral = new Set(this.mates(panel).map((mate) => this.entryOf(mate).neutral));
    return neutral.size === 1 && !neutral.has(null) ? palette : "inferno";
  }

  // -------------------------------------------------------------- boxes and agreement

  /**
   * The box of a gate or of a total usually spans the crop, so by default only class maps have theirs drawn.
   * @param {Panel} panel
   */
  isBoxed(panel) {
    return this.state.showbox && (this.ofMaps || this.state.allbox || this.nameOf(panel) === CLASS_MAP);
  }

  /** @type {(panel: Panel) => PartBox | null} */
  boxOf(panel) {
    const map = this.mapAt(panel);
    if (!map) return null;
    // On the large copy; the panels are smaller.
    const bilinear = (/** @type {number} */ width, /** @type {number} */ height) => (
      sampleMap(map, panel.model.geometry, width, height, "bilinear")
    );
    return this.boxesOf(map, bilinear, "largest", 0)[0] || null;
  }

  /**
   * @param {Panel} a
   * @param {Panel} b
   */
  agreement(a, b) {
    const [p, q] = [this.mapAt(a), this.mapAt(b)];
    const key = `pair|${p ? p.key : a.index}|${q ? q.key : b.index}`;
    return this.memo.of(key, () => agreementOf(p, a.model.geometry, q, b.model.geometry));
  }

  // -------------------------------------------------------------- drawing

  paint() {
    super.paint();
    const { stop, maps, draw } = this.state;
    const { data, panels } = this;
    for (const panel of panels) this.paintPanel(panel);
    const step = `step ${stop} of ${this.last()}`;
    this.find("step").setAttribute("aria-valuetext", step);
    this.find("grid").classList.toggle("drawing", draw);
    const methods = (data.methods || []).map(([name]) => name);
    const hasClass = panels.some((panel) => [CLASS_MAP, ...methods].includes(this.nameOf(panel)));
    const chosen = [...new Set(Object.values(maps))];
    const isOne = chosen.length === 1 && offers(this.find("samemap"), chosen[0]);
    this.find("samemap").value = isOne ? chosen[0] : "";
    const isUncomputed = panels.some((panel) => this.isUncomputed(panel));
    this.hide({ classrow: this.ofMaps || !hasClass, ask: !isUncomputed });
    this.write({
      steplabel: step,
      ask: `Compute the attributions of ${this.state.class}`,
      notes: this.notes().join(" "),
    });
    this.paintBars();
    this.paintOvers();
    this.paintTables();
    this.root.dataset.step = String(stop);
    this.root.dataset.models = data.models.map((model) => model.name).join(" ");
  }

  sync() {
    super.sync();
    for (const panel of this.panels) panel.select.value = this.nameOf(panel);
    this.showStale();
  }

  showStale() {
    this.write({ stale: this.state.stale });
    this.hide({ stale: !this.state.stale });
  }

  /** @param {Panel} panel */
  paintPanel(panel) {
    const { interp, luts, opacity, photo } = this.state;
    const map = this.mapAt(panel);
    drawPicture(panel.base, photo, map && {
      values: this.sampled(map, panel.model.geometry, photo.width, photo.height, interp),
      scale: this.scaleOf(panel),
      lut: luts[this.paletteOf(panel)],
      opacity: opacity / 100,
    });
    panel.says.textContent = this.caption(panel, map);
  }

  /** @type {(panel: Panel, map: Drawn | null) => string} */
  caption(panel, map) {
    const { steps, top, note } = panel.model;
    const own = this.stepOf(panel);
    const entry = this.entryOf(panel);
    const last = own < this.state.stop ? `its last step, ${own}` : `step ${own} of ${steps}`;
    const which = (steps === 1 ? "one step only" : last) + this.missing(panel, map);
    if (this.ofMaps) return [steps > 1 ? which : "", note].filter(Boolean).join("; ");
    const best = top[own - 1];
    const label = entry && (entry.cls || entry.title);
    const isOther = map && entry.p && best?.label !== label;
    const chance = isOther ? `, ${percent(entry.p[own - 1])} for ${label}` : "";
    const made = entry && entry.note ? `; ${entry.note}` : "";
    const says = best ? `; top-1: ${best.label} ${percent(best.number)}${chance}` : "";
    return `${which}${says}${made}`;
  }

  /**
   * Why a panel shows no map, or one of another step.
   * @type {(panel: Panel, map: Drawn | null) => string}
   */
  missing(panel, map) {
    if (map) return map.step < this.stepOf(panel) ? `, map of step ${map.step}` : "";
    if (this.entryOf(panel)) return ": no value of this map here";
    return this.isUncomputed(panel) ? ": not computed for this class" : ": this model has no such class";
  }

  paintBars() {
    const isShared = this.state.scale === "shared";
    const done = new Set();
    this.find("bars").replaceChildren();
    for (const panel of this.panels) {
      const entry = this.entryOf(panel);
      panel.bar.replaceChildren(...(entry && !isShared ? this.bar(panel, entry.unit) : []));
      if (!entry || !isShared || done.has(unitOf(entry))) continue;
      done.add(unitOf(entry));
      const mates = this.mates(panel);
      const isAll = mates.length === this.panels.length;
      const who = isAll ? `all ${this.one}s` : mates.map((mate) => mate.model.name).join(", ");
      const bar = make("div", "cmp-bar");
      bar.append(...this.bar(panel, `${entry.unit}: ${who}`));
      this.find("bars").append(bar);
    }
  }

  /**
   * The parts of a colour bar.
   * @type {(panel: Panel, text: string) => HTMLElement[]}
   */
  bar(panel, text) {
    const strip = make("div", "cmp-lut");
    const ends = make("div", "cmp-ends");
    strip.style.setProperty("--stops", gradient(this.state.luts[this.paletteOf(panel)]));
    ends.append(...this.scaleOf(panel).map((value) => make("span", "", numberText(value))));
    return [strip, ends, make("em", "", text)];
  }

  /** @param {Set<string>} changed */
  touched(changed) {
    if (changed.has("own")) this.paintTables();
    if (changed.has("stale")) this.showStale();
    this.paintOvers();
  }

  paintOvers() {
    for (const panel of this.panels) this.paintOver(panel);
    this.readout();
  }

  /** @param {Panel} panel */
  paintOver(panel) {
    const { own, cursor } = this.state;
    const { geometry } = panel.model;
    const pen = new Pen(panel.over, this.data.picture.full, panel.frame.clientWidth);
    if (!seesAll(geometry)) pen.seen(geometry.seen);
    const box = this.isBoxed(panel) ? this.boxOf(panel) : null;
    if (box) pen.outline(box, COLOURS[panel.index % COLOURS.length], 2.5);
    if (own) pen.outline(own, OWN, 2, [3, 3]);
    if (cursor) pen.ring(cursor);
  }

  // -------------------------------------------------------------- tables and sentences

  paintTables() {
    const { own } = this.state;
    const [height, width] = this.data.picture.full;
    this.find("pairs").tBodies[0].replaceChildren(...this.pairs().map(([a, b]) => {
      const { spearman, iou: top, share, rows, columns, reason } = this.agreement(a, b);
      const [p, q] = [this.boxOf(a), this.boxOf(b)];
      const names = `${a.model.name} and ${b.model.name}`;
      const numbers = [spearman, top, share].map(shown);
      return tableRow([names, ...numbers, `${rows} x ${columns}`, p && q ? shown(iou(p, q)) : "none"], reason);
    }));
    this.find("boxes").tBodies[0].replaceChildren(...this.panels.map((panel) => {
      const box = this.boxOf(panel);
      const { name } = panel.model;
      if (!box) {
        const why = this.mapAt(panel) ? "The map is flat: no box." : "No value at this step.";
        return tableRow([name, "none", "", "", "", "", ""], why);
      }
      const mine = own ? iou(box, own).toFixed(3) : "draw one";
      return tableRow([name, box.x0, box.y0, box.x1, box.y1, percent(box.area / (height * width)), mine]);
    }));
  }

  /** Notes on what the panels have in common and where they differ. */
  notes() {
    const steps = this.last();
    const out = this.panels.filter(({ model }) => model.steps < steps).map(({ model }) => {
      const its = model.steps === 1 ? "1 step" : `${model.steps} steps`;
      return `${model.name} has ${its}; later steps repeat the last one.`;
    });
    out.push(this.scaleNote(steps));
    if (new Set(this.panels.map((panel) => panel.model.geometry.seen.join())).size > 1) {
      out.push("The networks saw different parts of the picture; agreement covers only what both of a pair saw.");
    }
    const dark = this.panels.filter((panel) => this.isSparse(panel)).map((panel) => panel.model.name);
    if (dark.length) {
      out.push(
        `${dark.join(", ")}: 99 % of the cells lie in the lowest quarter of the range, so the map looks dark`,
        "except for a few strong cells. A higher opacity isolates them; the rank correlation and the top 10 % do not",
        "depend on the range.",
      );
    }
    const reasons = new Set(this.pairs().map(([a, b]) => this.agreement(a, b).reason));
    return [...out, ...[...reasons].filter(Boolean).map((reason) => `Where a pair has no number: ${reason}`)];
  }

  /**
   * Which panels share a range.
   * @param {number} steps
   */
  scaleNote(steps) {
    if (this.state.scale === "each") {
      const over = this.ofMaps ? " over all steps" : ", over its own steps";
      return `Each ${this.one} has its own range${steps === 1 ? "" : over}.`;
    }
    const units = new Set(this.panels.map((panel) => this.entryOf(panel)).filter(Boolean).map(unitOf));
    return units.size > 1
      ? `Maps of one unit share one range${steps === 1 ? "" : " over all steps"}; other units have their own.`
      : `One range for all ${this.one}s${steps === 1 ? "" : " and all steps"}.`;
  }

  /**
   * Whether a panel shows an attribution with a few cells far above all others, as input attributions often do.
   * @param {Panel} panel
   */
  isSparse(panel) {
    const map = this.mapAt(panel);
    if (!map || map.entry.kind !== "attribution") return false;
    const [low, high] = this.scaleOf(panel);
    return this.memo.of(`sparse|${map.key}|${low},${high}`, () => {
      const sorted = Float32Array.from(map.values).sort();
      return high > low && (sorted[Math.floor(0.99 * (sorted.length - 1))] - low) / (high - low) < 0.25;
    });
  }

  /** @param {Panel} panel */
  reading(panel) {
    const map = this.mapAt(panel);
    const [h, w] = map ? [map.h, map.w] : [1, 1];
    const cell = cellAt(panel.model.geometry, this.state.cursor, h, w);
    if (!cell) return "outside the crop";
    return map ? `${numberText(map.values[cell[0] * w + cell[1]])} ${map.entry.unit}` : "no value";
  }

  readout() {
    const { cursor } = this.state;
    for (const panel of this.panels) panel.value.textContent = cursor ? this.reading(panel) : "";
    const values = this.panels.map(({ model, value }) => `${model.name} ${value.textContent}`).join("; ");
    this.write({
      readout: cursor
        ? `x ${Math.floor(cursor[0])}, y ${Math.floor(cursor[1])}: ${values}.`
        : `Point at a panel to read the cells of all ${this.one}s there.`,
    });
  }

  // -------------------------------------------------------------- buttons

  /**
   * Show a map in every panel that has it.
   * @param {string} name "" leaves them as they are.
   */
  showEverywhere(name) {
    const having = this.panels.filter((panel) => name && offers(panel.select, name));
    const maps = Object.fromEntries(having.map((panel) => [panel.model.name, name]));
    this.store.set({ maps: { ...this.state.maps, ...maps } });
  }

  /**
   * Ask the server for the grid or its tables as a file.
   * @param {string} format
   */
  export(format) {
    const { maps, scale, palette, interp, opacity, threshold, showbox, allbox, own } = this.state;
    const boxes = this.ofMaps || allbox || "class_maps";
    this.host.send("export_grid", {
      format,
      maps,
      class: this.state.class,
      scale,
      palette,
      interpolation: interp,
      opacity: opacity / 100,
      threshold: threshold / 100,
      boxes: showbox && boxes,
      box: own ? [own.x0, own.y0, own.x1, own.y1] : null,
    });
  }
}

/**
 * Show the grid in an element that holds its template.
 * @type {(element: HTMLElement, message: GridMessage | null, host: Host) => Grid}
 */
export function mount(element, message, host) {
  const grid = new Grid(element, host);
  grid.receive(message);
  return grid;
}
