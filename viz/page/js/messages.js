// The messages from the server, as viz/page/payload.py and viz/page/grid.py write them, and how they are decoded.
import { tapName } from "./map_spec.js";

/**
 * @typedef {object} Geometry Where the network's input lies in the picture, as viz/geometry.py describes it.
 * @property {[number, number]} picture Height and width of the picture.
 * @property {[number, number]} network Height and width of the network's input.
 * @property {[number, number, number, number]} seen x0, y0, x1, y1 in picture pixels: what the network saw.
 * @property {[number, number, number, number]} placed x0, y0, x1, y1 in network pixels: where that lies in the input.
 */

/**
 * @typedef {object} Cells Values of one map at one step.
 * @property {number} step Computation step, from 1.
 * @property {number} h Rows.
 * @property {number} w Columns.
 * @property {string} [data] float32 values, little-endian, base64.
 * @property {boolean} [same] The values are those of the step before.
 * @property {Float32Array} values Row by row; `decode` fills it in.
 */

/**
 * @typedef {object} MapEntry One map at every step that has it.
 * @property {string} name
 * @property {string} kind "cam", "spatial", "derived", "joint", "feature", "attribution" or "kernel".
 * @property {string} title
 * @property {string} group Heading in the list of maps.
 * @property {string} share Entries with the same text hold the same quantity.
 * @property {string} unit
 * @property {[number | null, number | null]} bounds Range of the operation; null is unbounded.
 * @property {number | null} neutral
 * @property {string} palette
 * @property {number | null} class_index
 * @property {Cells[]} steps
 * @property {string} [cls] Class of an attribution.
 * @property {number[]} [p] Probability of the class at each step.
 * @property {string} [note]
 */

/**
 * @typedef {object} Kernel Kernels of every cell: `values` holds k * k planes of h x w.
 * @property {string} name
 * @property {string} path Of the module.
 * @property {string} title
 * @property {string} group
 * @property {string} label
 * @property {string} unit
 * @property {number | null} neutral
 * @property {[number | null, number | null]} bounds
 * @property {number} k
 * @property {number} dilation
 * @property {number} stride
 * @property {number | null} reach Cells to each side that this and the levels before reach together.
 * @property {Cells[]} steps
 */

/** @typedef {{ label: string, class_index: number, probability: number }} Prediction */

/**
 * @typedef {object} Vector A channel vector.
 * @property {string} title
 * @property {string} unit
 * @property {number | null} neutral
 * @property {string} data
 * @property {Float32Array} values
 */

/**
 * @typedef {object} Frame One stop of the slider; several may lie in one computation step.
 * @property {number} step
 * @property {string} title
 * @property {string} caption
 * @property {Prediction[]} top Best class first.
 * @property {string | null} show Name of the story's map.
 * @property {string | null} kernel
 * @property {boolean} arrows
 * @property {Vector | null} vector
 */

/**
 * @typedef {object} Picture
 * @property {string} src Data URI of the copy that is drawn on.
 * @property {number} width Of that copy.
 * @property {number} height Of that copy.
 * @property {[number, number]} full Height and width of the picture itself.
 * @property {string} name
 * @property {string} sha256
 * @property {string[]} notes
 */

/** @typedef {Record<string, string>} Palettes 256 RGB colours each, base64. */

/**
 * @typedef {object} ViewerMessage A picture with all maps of all its steps.
 * @property {string} key
 * @property {string} family
 * @property {string} missing What is said where a map has no value at a step.
 * @property {{ name: string, title: string }} model
 * @property {Picture} picture
 * @property {Geometry} geometry
 * @property {Frame[]} frames
 * @property {MapEntry[]} maps
 * @property {Kernel[]} kernels
 * @property {number | null} [pick] Class to show first.
 * @property {string | null} [show] Map to show first.
 * @property {Palettes} palettes
 */

/** @typedef {{ error: string, refused?: string }} ErrorMessage A sentence; what was shown before stays. */
/** @typedef {{ key: string, maps: MapEntry[], pick?: number | null, show?: string | null }} MoreMaps */

/**
 * @typedef {object} Column A model of the grid or, where the message says `kind: "maps"`, one map of one model.
 * @property {string} name
 * @property {string} title
 * @property {number} steps
 * @property {Geometry} geometry
 * @property {Prediction[]} top Best class of each step.
 * @property {MapEntry[]} maps
 * @property {string} [pick] Map to show first.
 * @property {string} [note]
 */

/**
 * @typedef {object} GridMessage
 * @property {string} key
 * @property {"maps"} [kind]
 * @property {Picture} picture
 * @property {string[]} classes
 * @property {Column[]} models
 * @property {[string, string][]} [methods] Name and words of the attributions that were computed.
 * @property {string[]} [explain]
 * @property {string} [about]
 * @property {Palettes} palettes
 */

/** @typedef {{ class: string, add: Record<string, MapEntry[]> }} MoreAttributions Of one more class, by model. */
/** @typedef {{ stale?: string }} StaleMessage */

/**
 * Bytes of a base64 text.
 * @type {(base64: string) => Uint8Array}
 */
export function decodeBytes(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/**
 * float32 numbers of a base64 text.
 * @type {(base64: string) => Float32Array}
 */
export const decodeFloats = (base64) => new Float32Array(decodeBytes(base64).buffer);

/**
 * The same maps with their values filled in.
 * @type {(maps: MapEntry[]) => MapEntry[]}
 */
export function decodeMaps(maps) {
  for (const cells of maps.flatMap((map) => map.steps)) cells.values = decodeFloats(cells.data);
  return maps;
}

/**
 * Colours by palette name: 256 RGB triples each.
 * @type {(palettes: Palettes) => Record<string, Uint8Array>}
 */
export function decodePalettes(palettes) {
  return Object.fromEntries(Object.entries(palettes).map(([name, text]) => [name, decodeBytes(text)]));
}

/**
 * Fill in all values of a viewer's message and add every tap of its kernels as a map.
 * @param {ViewerMessage} message
 */
export function decodeViewer(message) {
  decodeMaps(message.maps);
  for (const { vector } of message.frames) if (vector) vector.values = decodeFloats(vector.data);
  for (const kernel of message.kernels) message.maps.push(...tapMaps(kernel));
}

/**
 * Every tap of a kernel as a map of its own, a view of values that were sent once.
 * @type {(kernel: Kernel) => MapEntry[]}
 */
function tapMaps(kernel) {
  /** @type {Float32Array} */
  let before = null;
  for (const cells of kernel.steps) before = cells.values = cells.same ? before : decodeFloats(cells.data);
  return Array.from({ length: kernel.k * kernel.k }, (_, j) => ({
    name: tapName(kernel.name, j),
    kind: "kernel",
    title: `${kernel.label}, tap row ${Math.floor(j / kernel.k) + 1}, column ${j % kernel.k + 1}`,
    group: kernel.group,
    share: kernel.label,
    unit: kernel.unit,
    bounds: kernel.bounds,
    neutral: kernel.neutral,
    palette: kernel.neutral === null ? "inferno" : "diverging",
    class_index: null,
    steps: kernel.steps.map(({ step, h, w, values }) => (
      { step, h, w, values: values.subarray(j * h * w, (j + 1) * h * w) }
    )),
  }));
}
