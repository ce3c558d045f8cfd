// What the viewer and the grid have in common: state and controls, picture, steps, keys, and the user's own box.
import { BoxEditor, LIGHT } from "./box_editor.js";
import { pixelsOf } from "./canvas.js";
import { decodePalettes } from "./messages.js";
import { boxesOf, clamp, movedPoint, sampleMap } from "./numbers.js";
import { createMemo, createStore } from "./store.js";

/** @typedef {import("./types").Cells} Cells */
/** @typedef {import("./types").GeometryEntry} Geometry */
/** @typedef {import("./types").MapEntry} MapEntry */
/** @typedef {import("./types").PictureEntry} Picture */
/** @typedef {import("./numbers.js").Interpolation} Interpolation */
/** @typedef {HTMLInputElement | HTMLSelectElement} Control */

/**
 * @typedef {object} Host What the page provides to a view.
 * @property {(event: string, detail: object) => void} send Report an event to the server.
 * @property {(src: string, done: (image: CanvasImageSource) => void, failed: () => void) => void} picture Decode one.
 * @property {(call: () => void) => void} frame Call before the next frame is drawn.
 * @property {(milliseconds: number, call: () => void) => (() => void)} every Call repeatedly, until stopped.
 */

/** @typedef {Cells & { entry: MapEntry, key: string }} Drawn A map at a step; `key` is unique. */

const MOVES = /** @type {Record<string, [number, number]>} */ (
  { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
);

/**
 * An element with a class and a text.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} name Class, "" for none.
 * @param {string} text
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, name = "", text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = text;
  return element;
}

/**
 * A row of a table.
 * @type {(cells: (string | number)[], title?: string) => HTMLTableRowElement}
 */
export function tableRow(cells, title = "") {
  const row = make("tr");
  row.append(...cells.map((cell) => make("td", "", String(cell))));
  if (title) row.title = title;
  return row;
}

/**
 * Options of a list of maps, under the headings of their groups.
 * @type {(maps: MapEntry[], titleOf: (map: MapEntry) => string) => HTMLOptGroupElement[]}
 */
export function groupedOptions(maps, titleOf) {
  return [...new Set(maps.map((map) => map.group))].map((name) => {
    const group = make("optgroup");
    group.label = name;
    group.append(...maps.filter((map) => map.group === name).map((map) => new Option(titleOf(map), map.name)));
    return group;
  });
}

/** @param {Control} control */
const valueOf = (control) => {
  if (control.type === "checkbox") return /** @type {HTMLInputElement} */ (control).checked;
  return control.type === "range" ? Number(control.value) : control.value;
};

export class View {
  /**
   * @param {HTMLElement} element Holds the view's template.
   * @param {string} prefix Of the template's class names.
   * @param {Host} host
   * @param {string[]} controls Names of the inputs and lists that hold values of the state, set by the template.
   * @param {Record<string, any>} state Further state.
   * @param {number} remembered How many computed values are kept.
   */
  constructor(element, prefix, host, controls, state, remembered) {
    this.host = host;
    this.element = element;
    this.prefix = prefix;
    this.root = /** @type {HTMLElement} */ (element.querySelector("." + prefix));
    this.controls = controls;
    const chosen = Object.fromEntries(controls.map((name) => [name, valueOf(this.control(name))]));
    const common = { data: null, awaited: null, luts: {}, photo: null, stop: 1, own: null, cursor: null, drag: null };
    this.store = createStore(/** @type {Record<string, any>} */ ({ ...common, ...chosen, ...state }));
    this.memo = createMemo(remembered);
    this.queued = false;
    /** Names of state values that do not affect the drawn maps. */
    this.light = new Set(["awaited", "luts", ...LIGHT]);
    this.store.subscribe((changed) => this.changed(changed));
    for (const name of controls) {
      const control = this.control(name);
      const event = ["range", "number"].includes(control.type) ? "input" : "change";
      control.addEventListener(event, () => this.store.set(this.chosen(name, valueOf(control))));
    }
    const inputs = /** @type {NodeListOf<HTMLInputElement>} */ (this.root.querySelectorAll("[data-k]"));
    this.editor = new BoxEditor(/** @type {any} */ (this.store), [...inputs], this.find("clear"));
    const slider = this.control("step");
    slider.addEventListener("input", () => this.go(Number(slider.value)));
    this.find("prev").addEventListener("click", () => this.go(this.state.stop - 1));
    this.find("next").addEventListener("click", () => this.go(this.state.stop + 1));
  }

  get state() {
    return this.store.get();
  }

  /**
   * An element of the template.
   * @type {(name: string) => any}
   */
  find(name) {
    return this.element.querySelector(`.${this.prefix}-${name}`);
  }

  /** @type {(name: string) => Control} */
  control(name) {
    return this.find(name);
  }

  /**
   * Changes of the state that follow when a person sets a control.
   * @type {(name: string, value: any) => object}
   */
  chosen(name, value) {
    return { [name]: value };
  }

  /** Show the state in the controls. */
  sync() {
    for (const name of this.controls) {
      const control = this.control(name);
      const value = this.state[name];
      if (control.type === "checkbox") /** @type {HTMLInputElement} */ (control).checked = value;
      else if (control.value !== String(value)) control.value = String(value);
    }
  }

  /**
   * Set texts of elements, by name.
   * @param {Record<string, string>} texts
   */
  write(texts) {
    for (const [name, text] of Object.entries(texts)) this.find(name).textContent = text;
  }

  /**
   * Hide elements or show them, by name.
   * @param {Record<string, boolean>} isHidden
   */
  hide(isHidden) {
    for (const [name, hidden] of Object.entries(isHidden)) this.find(name).hidden = hidden;
  }

  // -------------------------------------------------------------- a picture and its maps

  /**
   * Show a message with decoded maps once its picture is decoded, unless a newer one has come by then.
   * @param {any} data
   */
  load(data) {
    const isNewest = () => this.state.awaited === data;
    this.store.set({ awaited: data, luts: { ...this.state.luts, ...decodePalettes(data.palettes) } });
    this.host.picture(
      data.picture.src,
      (image) => isNewest() && this.show(data, image),
      () => isNewest() && this.say("The browser could not draw the picture."),
    );
  }

  /** @type {(data: any, image: CanvasImageSource) => void} */
  show(data, image) {
    const before = this.state.data;
    const isSame = before !== null && before.picture.sha256 === data.picture.sha256;
    const [width, height] = this.sizeOf(data.picture);
    const changes = this.begin(data, before, isSame);
    this.memo.clear();
    this.root.style.setProperty("--ratio", String(data.picture.width / data.picture.height));
    this.hide({ empty: true, main: false });
    const places = isSame ? {} : { own: null, cursor: null };
    this.store.set({ data, photo: pixelsOf(image, width, height), ...places, ...changes });
    this.sync();
    this.root.dataset.state = "shown";
    this.root.dataset.key = data.key;
  }

  /**
   * Width and height at which a picture is drawn.
   * @type {(picture: Picture) => [number, number]}
   */
  sizeOf(picture) {
    return [picture.width, picture.height];
  }

  /**
   * Prepare the page for a message; returns changes of the state. `before` is the message shown so far, or null,
   * and `isSame` says whether it had the same picture.
   * @type {(data: any, before: any, isSame: boolean) => object}
   */
  begin(data, before, isSame) {
    throw new TypeError("A view prepares its own messages.");
  }

  /**
   * Show a sentence.
   * @param {string} text
   */
  say(text) {
    console.error(text);
  }

  /**
   * What is shown, in one line.
   * @type {(picture: Picture, more?: string[]) => string}
   */
  about(picture, more = []) {
    return [picture.name, `${picture.full[1]} x ${picture.full[0]}`, ...picture.notes, ...more].join(" · ");
  }

  /**
   * Offer the palettes, once.
   * @param {HTMLOptionElement[]} first Options before them.
   */
  offerPalettes(first = []) {
    const list = this.find("palette");
    if (list.options.length) return;
    list.append(...first, ...Object.keys(this.state.luts).map((name) => new Option(name, name)));
  }

  // -------------------------------------------------------------- steps and keys

  /** Number of the last stop. */
  last() {
    return 1;
  }

  /** @param {number} stop */
  go(stop) {
    if (this.state.data) this.store.set({ stop: clamp(stop, 1, this.last()) });
  }

  /** @param {KeyboardEvent} event */
  keyDown(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (!this.state.data || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
    if (this.pressed(event, MOVES[event.key])) event.preventDefault();
  }

  /**
   * Act on a key; `move` is that of an arrow key. Returns whether the key was handled.
   * @type {(event: KeyboardEvent, move: [number, number] | undefined) => boolean}
   */
  pressed(event, move) {
    const { stop, cursor, data } = this.state;
    const stops = { ArrowLeft: stop - 1, ArrowRight: stop + 1, Home: 1, End: this.last() };
    if (move && event.shiftKey) this.store.set({ cursor: movedPoint(cursor, move, data.picture.full) });
    else if (event.key in stops) this.go(stops[event.key]);
    else return false;
    return true;
  }

  // -------------------------------------------------------------- values

  /**
   * The map at the pixels of a rendering, computed once.
   * @type {(map: Drawn, geometry: Geometry, width: number, height: number, how: Interpolation) => Float32Array}
   */
  sampled(map, geometry, width, height, how) {
    const key = [map.key, how, width, height].join("|");
    return this.memo.of(key, () => sampleMap(map, geometry, width, height, how));
  }

  /**
   * Boxes of a map at the threshold, computed once.
   * @param {Drawn} map
   * @param {(width: number, height: number) => Float32Array} bilinear Samples at the size of the large copy, so that
   *   boxes equal those of `viz.boxes`, whatever is drawn.
   * @param {"largest" | "all"} components
   * @param {number} minArea Smallest part, as a share of the picture.
   */
  boxesOf(map, bilinear, components, minArea) {
    const { threshold, data } = this.state;
    const { width, height, full } = data.picture;
    return this.memo.of(["box", map.key, threshold, components, minArea].join("|"), () => (
      boxesOf(bilinear(width, height), width, height, threshold / 100, components, minArea, full)
    ));
  }

  // -------------------------------------------------------------- drawing

  /** @param {Set<string>} changed */
  changed(changed) {
    if (!this.state.data) return;
    if ([...changed].every((name) => this.light.has(name))) this.touched(changed);
    else this.draw();
  }

  /**
   * Draw the overlay immediately: it follows the pointer.
   * @param {Set<string>} changed
   */
  touched(changed) {}

  /** Draw everything before the next frame. */
  draw() {
    if (this.queued || !this.state.data) return;
    this.queued = true;
    this.host.frame(() => {
      this.queued = false;
      this.paint();
      this.root.dataset.drawn = String(Number(this.root.dataset.drawn || 0) + 1);
    });
  }

  /** Draw everything. */
  paint() {
    const { stop, opacity, threshold } = this.state;
    this.find("step").max = String(this.last());
    this.find("step").value = String(stop);
    this.write({ opv: `${opacity} %`, thv: `${threshold} % of the range` });
    this.sync();
  }
}
