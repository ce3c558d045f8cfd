// The reading point under the pointer, and the user's own box: drawn on a frame, typed or cleared.
import { boxBetween, clamp } from "./numbers.js";

/** @typedef {import("./numbers.js").Box} Box */
/** @typedef {import("./numbers.js").Point} Point */

/**
 * @typedef {object} BoxState The part of a view's state that the editor reads and writes.
 * @property {{ picture: { full: [number, number] } } | null} data
 * @property {ImageData | null} photo
 * @property {Box | null} own The box.
 * @property {Point | null} cursor The reading point.
 * @property {Point | null} drag Where drawing began; null when not drawing.
 * @property {boolean} draw Whether pressing draws.
 */

/** Changes of the state that affect the overlay only: the maps below it are not redrawn. */
export const LIGHT = ["own", "cursor", "drag"];

export class BoxEditor {
  /**
   * @param {import("./store.js").Store<BoxState>} store
   * @param {HTMLInputElement[]} inputs One per edge: x0, y0, x1, y1, named by `data-k`.
   * @param {HTMLElement} clear
   */
  constructor(store, inputs, clear) {
    this.store = store;
    this.inputs = inputs;
    for (const input of inputs) input.addEventListener("change", () => this.typed());
    clear.addEventListener("click", () => this.place(null));
    store.subscribe((changed) => {
      if (changed.has("own") || changed.has("photo")) this.fill();
    });
  }

  /** @param {Box | null} own */
  place(own) {
    this.store.set({ own });
    this.fill();
  }

  /**
   * Largest number that an input accepts.
   * @param {HTMLInputElement} input
   */
  limit(input) {
    const { data } = this.store.get();
    return data ? data.picture.full[input.dataset.k[0] === "x" ? 1 : 0] : 0;
  }

  /** Write the box into the inputs. */
  fill() {
    const { own, data } = this.store.get();
    for (const input of this.inputs) {
      input.value = own ? String(own[input.dataset.k]) : "";
      input.min = "0";
      input.max = data ? String(this.limit(input)) : "";
    }
  }

  /** Typed numbers apply once all four are given; they are sorted and clipped to the picture. */
  typed() {
    if (!this.store.get().data || this.inputs.some((input) => input.value === "")) return;
    const typed = Object.fromEntries(
      this.inputs.map((input) => [input.dataset.k, clamp(Number(input.value), 0, this.limit(input))]),
    );
    this.place(boxBetween([typed.x0, typed.y0], [typed.x1, typed.y1]));
  }

  /**
   * Follow the pointer on a frame whose canvas shows the picture. `pressed` returns further changes of the state for a
   * press that does not draw.
   * @type {(frame: HTMLElement, canvas: HTMLCanvasElement, pressed?: (point: Point) => object) => void}
   */
  watch(frame, canvas, pressed = () => ({})) {
    const { store } = this;
    const on = (/** @type {string} */ kind, /** @type {(event: PointerEvent, state: BoxState) => void} */ act) => {
      frame.addEventListener(kind, (event) => {
        if (store.get().data) act(/** @type {PointerEvent} */ (event), store.get());
      });
    };
    on("pointermove", (event, { data, drag }) => {
      const cursor = pointOn(canvas, event, data.picture.full);
      store.set(drag ? { cursor, own: boxBetween(drag, cursor) } : { cursor });
    });
    on("pointerdown", (event, { data, draw }) => {
      const cursor = pointOn(canvas, event, data.picture.full);
      store.set(draw ? { cursor, drag: cursor } : { cursor, ...pressed(cursor) });
      if (!draw) return;
      frame.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    on("pointerup", () => store.set({ drag: null }));
    on("pointerleave", (event, { drag }) => {
      if (!drag) store.set({ cursor: null });
    });
  }
}

/**
 * The point of the picture under the pointer.
 * @type {(canvas: HTMLCanvasElement, event: PointerEvent, full: [number, number]) => Point}
 */
function pointOn(canvas, event, full) {
  const rect = canvas.getBoundingClientRect();
  const x = (event.clientX - rect.left) / rect.width * full[1];
  const y = (event.clientY - rect.top) / rect.height * full[0];
  return [clamp(x, 0, full[1] - 1e-6), clamp(y, 0, full[0] - 1e-6)];
}
