// Decoding of messages from the server. Their shapes are defined in viz/page/messages.py.
import { tapName } from "./map_spec.js";

/** @typedef {import("./types").KernelEntry} Kernel */
/** @typedef {import("./types").MapEntry} MapEntry */
/** @typedef {import("./types").ViewerMessage} ViewerMessage */

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
 * @type {(palettes: Record<string, string>) => Record<string, Uint8Array>}
 */
export function decodePalettes(palettes) {
  return Object.fromEntries(Object.entries(palettes).map(([name, text]) => [name, decodeBytes(text)]));
}

/**
 * Fill in all values of a viewer's message and add every kernel element as a map.
 * @param {ViewerMessage} message
 */
export function decodeViewer(message) {
  decodeMaps(message.maps);
  for (const { vector } of message.frames) if (vector) vector.values = decodeFloats(vector.data);
  for (const kernel of message.kernels) message.maps.push(...tapMaps(kernel));
}

/**
 * Every element of a kernel as a map of its own, a view of the values of the kernel.
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
