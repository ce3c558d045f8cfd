// Written by `python -m viz.page.js_types`; change the Python side instead.

/** float32 values, little-endian, base64; decoding writes `values` beside them. */
export type Floats = string;

/**
 * Where the network's input lies in the picture, see `viz.geometry.Geometry`.
 *
 * Attributes:
 *     picture, network: height and width.
 *     seen: x0, y0, x1, y1 in picture pixels: what the network saw.
 *     placed: the same region as x0, y0, x1, y1 in network pixels.
 */
export interface GeometryEntry {
  mode: string;
  picture: [number, number];
  network: [number, number];
  seen: [number, number, number, number];
  placed: [number, number, number, number];
}

/**
 * Values of one map at one step: `h` rows of `w`.
 */
export interface Cells {
  step: number;
  h: number;
  w: number;
  data?: Floats;
  values: Float32Array;
}

/**
 * Kernels of all cells at one step: k * k planes of `h` rows of `w`, or `same` if equal to the step before.
 */
export interface KernelCells {
  step: number;
  h: number;
  w: number;
  data?: Floats;
  values: Float32Array;
  same?: true;
}

/**
 * One map at every step that has it.
 *
 * Attributes:
 *     name: as `viz.core.map_spec` prints it, without class and step.
 *     group: heading in the list of maps. share: the same text in entries that hold the same quantity.
 *     bounds: range of the operation; null means unbounded.
 *     p: the number beside the class at each step. cls: class of an attribution. note: its settings.
 */
export interface MapEntry {
  name: string;
  kind: "cam" | "spatial" | "derived" | "joint" | "feature" | "attribution" | "kernel";
  title: string;
  group: string;
  share: string;
  unit: string;
  bounds: [number | null, number | null];
  neutral: number | null;
  palette: string;
  class_index: number | null;
  steps: Array<Cells>;
  p?: Array<number>;
  cls?: string;
  note?: string;
}

/**
 * The kernels of a module at every cell and step.
 *
 * Attributes:
 *     path: of the module. dilation, stride: in cells.
 *     reach: cells to each side that this level and those before it reach together.
 */
export interface KernelEntry {
  name: string;
  path: string;
  title: string;
  group: string;
  label: string;
  unit: string;
  neutral: number | null;
  bounds: [number | null, number | null];
  k: number;
  dilation: number;
  stride: number;
  reach: number | null;
  steps: Array<KernelCells>;
}

/**
 * One class at one step.
 *
 * Attributes:
 *     number: a probability, the share of the cells of a dense answer, or the score of the best object.
 */
export interface PredictionEntry {
  class_index: number;
  label: string;
  number: number;
}

/**
 * Names of the output on the page.
 *
 * Attributes:
 *     name: of its map, null if it has none. title: of that map, in words.
 *     number: meaning of the number beside a class; empty without classes.
 */
export interface OutputEntry {
  name: string | null;
  title: string;
  number: string;
}

/**
 * A channel vector.
 */
export interface VectorEntry {
  name: string;
  title: string;
  unit: string;
  neutral: number | null;
  bounds: [number | null, number | null];
  data?: Floats;
  values: Float32Array;
}

/**
 * One stop of the slider; several may lie in one computation step.
 *
 * Attributes:
 *     top: best class first. show: name of the map of this stop. kernel: name of the kernel that a click opens.
 */
export interface FrameEntry {
  step: number;
  title: string;
  caption: string;
  top: Array<PredictionEntry>;
  show: string | null;
  kernel: string | null;
  arrows: boolean;
  vector: VectorEntry | null;
}

/**
 * The picture.
 *
 * Attributes:
 *     src: data URI of the displayed copy. width, height: of that copy.
 *     full: height and width of the picture itself.
 */
export interface PictureEntry {
  src: string;
  width: number;
  height: number;
  full: [number, number];
  name: string;
  sha256: string;
  notes: Array<string>;
}

/**
 * The model shown.
 */
export interface ModelEntry {
  name: string;
  title: string;
}

/**
 * Fields of every message.
 */
export interface Message {
  message_version: 1;
}

/**
 * A picture with all maps of all its steps.
 *
 * Attributes:
 *     missing: text for a map without a value at a step.
 *     pick, show: class and map to show first. palettes: 256 RGB colours each, base64.
 */
export interface ViewerMessage {
  message_version: 1;
  key: string;
  family: string | null;
  output: OutputEntry;
  missing: string;
  model: ModelEntry;
  picture: PictureEntry;
  geometry: GeometryEntry;
  frames: Array<FrameEntry>;
  maps: Array<MapEntry>;
  kernels: Array<KernelEntry>;
  pick: number | null;
  show: string | null;
  palettes: Record<string, string>;
}

/**
 * Further maps for the trace in the viewer, which `key` identifies.
 */
export interface MoreMaps {
  message_version: 1;
  key: string;
  maps: Array<MapEntry>;
  pick: number | null;
  show: string | null;
}

/**
 * An error; the viewer keeps what it shows.
 *
 * Attributes:
 *     refused: the uploaded file that cannot be shown, by the last two parts of its path.
 *     mark: distinguishes a second refusal of the same file from the first.
 */
export interface ErrorMessage {
  message_version: 1;
  error: string;
  refused?: string;
  mark?: string;
}

/**
 * The model of a column.
 *
 * Attributes:
 *     top: best class of each step, null if there is none. pick: map to show first.
 */
export interface ColumnHead {
  title: string;
  steps: number;
  geometry: GeometryEntry;
  top: Array<PredictionEntry | null>;
  pick?: string;
  note?: string;
}

/**
 * One model of the grid or, in a message with `kind: "maps"`, one map of one model.
 */
export interface Column {
  title: string;
  steps: number;
  geometry: GeometryEntry;
  top: Array<PredictionEntry | null>;
  pick?: string;
  note?: string;
  name: string;
  maps: Array<MapEntry>;
}

/**
 * Fields of some grids only.
 *
 * Attributes:
 *     methods: name and title of the attributions that were computed.
 */
export interface GridMore {
  kind?: "maps";
  about?: string;
  explain?: Array<string>;
  methods?: Array<[string, string]>;
}

/**
 * A picture with the maps of several columns, side by side.
 */
export interface GridMessage {
  message_version: 1;
  kind?: "maps";
  about?: string;
  explain?: Array<string>;
  methods?: Array<[string, string]>;
  key: string;
  picture: PictureEntry;
  classes: Array<string>;
  models: Array<Column>;
  palettes: Record<string, string>;
}

export interface MoreAttributions {
  message_version: 1;
  class: string;
  add: Record<string, Array<MapEntry>>;
}

/**
 * Why the grid no longer matches the picture above it; "" if it does.
 */
export interface StaleMessage {
  message_version: 1;
  stale: string;
}

/**
 * A map specification.
 *
 * Attributes:
 *     name: ``cam``, ``attention``, ``feature``, a baseline, a derived map, a method, or a tap's label or full path.
 *     tap: label or full path of the tap of a derived map or an attribution.
 *     channel: channel, group, tap of a kernel or rank, from 0.
 *     cls: number or name of the class; None takes the step's best class.
 *     step: 1-based, or counted from the end (-1).
 *     region: of an attribution: x0, y0, x1, y1 in picture pixels, or the point x, y.
 */
export interface MapSpec {
  name: string;
  tap: string | null;
  channel: number | null;
  cls: number | string | null;
  step: number;
  region: Array<number> | null;
}
