// Map specifications: the grammar of viz/core/map_spec.py, and the only place that parses names of maps.
import { BASELINES, DERIVED, LONGEST, METHODS, OUTPUTS } from "./known.js";

/** @typedef {import("./types").MapSpec} MapSpec */

/** The map of the output for the chosen class: of a classifier its class map. */
export const CLASS_MAP = "cam";
/** An entry of the list of maps besides maps: at each stop, the map of the guided walkthrough. */
export const STORY = "story";

const OWN_NAMES = [CLASS_MAP, "attention", "feature"];

// A word character is a letter, a digit or "_" of any script, as in Python; a tap is never digits only.
const WORD = "[\\p{L}\\p{N}_]";
const MORE = "[\\p{L}\\p{N}_.-]*";
const TAP = `(?=${MORE}(?!\\p{Nd})${WORD})${WORD}${MORE}`;
const HEAD = `(?<name>${TAP})(\\((?<tap>${TAP})\\))?`;
const CHANNEL = "(#(?<channel>\\d{1,6}))?";
const REGION = "\\d{1,6}-\\d{1,6}(-\\d{1,6}-\\d{1,6})?";
const STEP = "-?\\d{1,4}|last";

/** @param {string} pattern */
const whole = (pattern) => new RegExp(`^(?:${pattern})$`, "u");
const FORM = whole(`${HEAD}${CHANNEL}(@(?<cls>.+?))?(~(?<region>${REGION}))?(:(?<step>${STEP}))?`);
const OLDER = whole(`${HEAD}(:(?<step>${STEP}))?${CHANNEL}(@(?<cls>.+))?`);
const PREFIX = new RegExp(`^(attribution:|attention:(?!(-?\\d+|last)(?!${WORD})))`, "u");
const LIKE_A_STEP = whole(`.*:(${STEP})`);
const LIKE_A_REGION = whole(`.*~${REGION}(:(${STEP}))?`);
const PRINTABLE = whole("([^\\p{C}\\p{Z}]| )+");

/**
 * What sort of map it is.
 * @param {MapSpec} spec
 */
export function kindOf({ name, tap }) {
  if (OWN_NAMES.includes(name)) return name;
  if (OUTPUTS.includes(name)) return "output";
  if (BASELINES.includes(name)) return "baseline";
  if (METHODS.includes(name) || METHODS.includes(`${name}(TAP)`)) return "attribution";
  return tap === null ? "tap" : "derived";
}

/**
 * Whether the parts go together.
 * @param {MapSpec} spec
 */
function isSound(spec) {
  const { name, tap, channel, cls, step, region } = spec;
  const kind = kindOf(spec);
  const isAttribution = kind === "attribution";
  const [x0, y0, x1 = Infinity, y1 = Infinity] = region || [0, 0];
  return !["picture", "boxes"].includes(name)
    && step !== 0
    && (kind !== "feature" || channel !== null)
    && (kind !== "derived" || DERIVED.includes(name))
    && (!isAttribution || METHODS.includes(tap === null ? name : `${name}(TAP)`))
    && (tap === null || isAttribution || kind === "derived")
    && (channel === null || ["attention", "feature", "tap", "derived"].includes(kind))
    && (cls === null || isAttribution || kind === CLASS_MAP || kind === "output")
    && (typeof cls !== "string" || (PRINTABLE.test(cls) && !LIKE_A_REGION.test(cls)))
    && (region === null || (isAttribution && x0 < x1 && y0 < y1));
}

/**
 * The parts of a map specification.
 * @param {string} text
 * @returns {MapSpec}
 * @throws {RangeError} Not a specification.
 */
export function parse(text) {
  const asked = text.trim().replace(PREFIX, "");
  const found = [...text].length <= LONGEST && (FORM.exec(asked) || OLDER.exec(asked));
  const spec = found && partsOf(found.groups);
  if (!spec || !isSound(spec)) throw new RangeError(`Unknown map ${JSON.stringify(text.slice(0, 60))}.`);
  return kindOf(spec) === "baseline" ? { ...spec, step: -1 } : spec; // the same at every step
}

/**
 * @param {Record<string, string | undefined>} groups
 * @returns {MapSpec}
 */
function partsOf({ name, tap = null, channel, cls, step = "last", region }) {
  const label = cls === undefined ? null : cls.trim();
  return {
    name: name === "class_map" ? CLASS_MAP : name,
    tap,
    channel: channel === undefined ? null : Number(channel),
    cls: label !== null && /^\d{1,9}$/.test(label) ? Number(label) : label,
    step: step === "last" ? -1 : Number(step),
    region: region === undefined ? null : region.split("-").map(Number),
  };
}

/**
 * A map specification as `parse` reads it.
 * @param {MapSpec} spec
 */
export function print({ name, tap, channel, cls, step, region }) {
  const needsStep = step !== -1 || (typeof cls === "string" && LIKE_A_STEP.test(cls));
  return [
    tap === null ? name : `${name}(${tap})`,
    channel === null ? "" : `#${channel}`,
    cls === null ? "" : `@${cls}`,
    region === null ? "" : `~${region.join("-")}`,
    needsStep ? `:${step}` : "",
  ].join("");
}

/**
 * Name of one tap of a kernel, from the kernel's full name.
 * @type {(kernel: string, index: number) => string}
 */
export const tapName = (kernel, index) => print({ ...parse(kernel), channel: index });

/** @param {string} path */
const lastOf = (path) => path.split(".").pop();

/**
 * Label of a map: its name without the module's path and without a channel.
 * @param {string} text
 */
export function labelOf(text) {
  const { name, tap } = parse(text);
  return tap === null ? lastOf(name) : `${name}(${lastOf(tap)})`;
}

/**
 * Whether a map was captured inside a module, or is derived from such a value.
 * @type {(text: string, path: string) => boolean}
 */
export function isInside(text, path) {
  const { name, tap } = parse(text);
  return (tap || name).startsWith(path + ".");
}

/**
 * The figure builder's name for a map at a step. The map of the output, a class map or another, is of the chosen class:
 * its number, or "best".
 * @type {(text: string, step: number, chosen: string, output: string) => string}
 */
export function panelSpec(text, step, chosen, output) {
  const isOutput = text === CLASS_MAP;
  const cls = isOutput && chosen !== "best" ? Number(chosen) : null;
  return print({ ...parse(isOutput && output ? output : text), cls, step });
}
