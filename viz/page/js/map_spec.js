// Names of maps: the one place that takes them apart or builds them.

/** The class map of the chosen class. */
export const CLASS_MAP = "cam";
/** What the list of maps offers beside maps: at each stop the map that the story shows there. */
export const STORY = "story";

/**
 * Name of one tap of a kernel, from the kernel's full name.
 * @type {(kernel: string, index: number) => string}
 */
export const tapName = (kernel, index) => `${kernel}#${index}`;

/**
 * Label of a map: its name without the module's path and without a channel.
 * @param {string} name
 */
export const labelOf = (name) => name.split(".").pop().split("#")[0];

/**
 * Whether a map was captured inside a module.
 * @type {(name: string, path: string) => boolean}
 */
export const isInside = (name, path) => name.includes(path + ".");

/**
 * What the figure builder calls a map at a step. A class map is of the chosen class: its number, or "best".
 * @type {(name: string, step: number, chosen: string) => string}
 */
export function panelSpec(name, step, chosen) {
  return name === CLASS_MAP && chosen !== "best" ? `${name}@${chosen}:${step}` : `${name}:${step}`;
}
