// Drawing on canvases. Boxes and points are in picture pixels.
import { blend } from "./numbers.js";

/** @typedef {import("./numbers.js").Box} Box */
/** @typedef {import("./numbers.js").Point} Point */
/** @typedef {import("./numbers.js").Scale} Scale */

/** Colours of the boxes of stops or panels. */
export const COLOURS = ["#ffb000", "#3ec6ff", "#ff5fa2", "#7ee081", "#c39bff", "#ff8a5c", "#9ad1d4", "#f5e663"];
/** Colour of the user's own box. */
export const OWN = "#ffffff";

/**
 * Pixels of a picture at a size.
 * @type {(image: CanvasImageSource, width: number, height: number) => ImageData}
 */
export function pixelsOf(image, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/**
 * The same pixels at a smaller size.
 * @type {(pixels: ImageData, width: number, height: number) => ImageData}
 */
export function shrunk(pixels, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return pixelsOf(canvas, width, height);
}

/** @typedef {{ values: Float32Array, scale: Scale, lut: Uint8Array, opacity: number }} Look How a map is drawn. */

/**
 * Draw the photo with a map on it, or the photo alone, on a canvas of the photo's size.
 * @type {(canvas: HTMLCanvasElement, photo: ImageData, look: Look | null) => void}
 */
export function drawPicture(canvas, photo, look) {
  const image = new ImageData(photo.width, photo.height);
  if (look) blend(photo.data, look.values, look.scale, look.lut, look.opacity, image.data);
  else image.data.set(photo.data);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/**
 * Stops of a CSS gradient in a palette's colours.
 * @param {Uint8Array} lut
 */
export function gradient(lut) {
  const stops = [];
  for (let k = 0; k < lut.length; k += 15) stops.push(`rgb(${lut[k]} ${lut[k + 1]} ${lut[k + 2]})`);
  return stops.join(",");
}

/** Clears an overlay and draws on it. `unit` is the size of a screen pixel in canvas pixels. */
export class Pen {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {[number, number]} full Height and width of the picture.
   * @param {number} shown Width of the canvas on the screen; 0 while it is hidden.
   */
  constructor(canvas, full, shown) {
    this.context = canvas.getContext("2d");
    this.fx = canvas.width / full[1];
    this.fy = canvas.height / full[0];
    this.unit = canvas.width / (shown || canvas.width);
    this.context.clearRect(0, 0, canvas.width, canvas.height);
  }

  /**
   * x, y, width and height of a box on the canvas.
   * @type {(box: Box) => [number, number, number, number]}
   */
  place({ x0, y0, x1, y1 }) {
    return [x0 * this.fx, y0 * this.fy, x1 * this.fx - x0 * this.fx, y1 * this.fy - y0 * this.fy];
  }

  /**
   * The edges of a box with a dark outline; width and dashes in screen pixels.
   * @type {(box: Box, colour: string, width: number, dashes?: number[]) => void}
   */
  outline(box, colour, width, dashes = []) {
    const c = this.context;
    c.setLineDash(dashes.map((dash) => dash * this.unit));
    for (const [ink, line] of /** @type {[string, number][]} */ ([["rgba(0,0,0,0.6)", 2], [colour, 0]])) {
      c.lineWidth = width * this.unit + line;
      c.strokeStyle = ink;
      c.strokeRect(...this.place(box));
    }
    c.setLineDash([]);
  }

  /**
   * The frame of the input crop.
   * @param {[number, number, number, number]} rectangle
   */
  seen([x0, y0, x1, y1]) {
    this.outline({ x0, y0, x1, y1 }, "#ffffff", 1.2, [6, 4]);
  }

  /** @type {(box: Box, colour: string, opacity?: number) => void} */
  fill(box, colour, opacity = 1) {
    const c = this.context;
    c.globalAlpha = opacity;
    c.fillStyle = colour;
    c.fillRect(...this.place(box));
    c.globalAlpha = 1;
  }

  /**
   * Text at the upper left corner of a box, on a coloured background.
   * @type {(text: string, box: Box, colour: string) => void}
   */
  tag(text, box, colour) {
    const c = this.context;
    const [x, y] = this.place(box);
    c.font = `600 ${Math.round(13 * this.unit)}px system-ui, sans-serif`;
    const width = c.measureText(text).width + 8 * this.unit;
    const height = 18 * this.unit;
    const top = y >= height ? y - height : y;
    c.fillStyle = colour;
    c.fillRect(x, top, width, height);
    c.fillStyle = "#000000";
    c.textBaseline = "middle";
    c.fillText(text, x + 4 * this.unit, top + height / 2);
  }

  /**
   * Text in the middle of a box, as large as fits; omitted if too small to read.
   * @type {(text: string, box: Box, colour: string) => void}
   */
  label(text, box, colour) {
    const c = this.context;
    const [x, y, w, h] = this.place(box);
    const size = Math.min(12 * this.unit, 0.42 * h, 1.45 * w / text.length);
    if (size < 7 * this.unit) return;
    c.font = `600 ${size}px system-ui, sans-serif`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.fillStyle = colour;
    c.fillText(text, x + w / 2, y + h / 2);
    c.textAlign = "start";
  }

  /**
   * The reading point.
   * @param {Point} point
   */
  ring([x, y]) {
    const c = this.context;
    c.lineWidth = this.unit;
    for (const [ink, radius] of /** @type {[string, number][]} */ ([["#000000", 5], ["#ffffff", 4]])) {
      c.strokeStyle = ink;
      c.beginPath();
      c.arc(x * this.fx, y * this.fy, radius * this.unit, 0, 7);
      c.stroke();
    }
  }

  /**
   * An arrow centred in a box. `part` is the share of the box that it fills; its angle is counted clockwise
   * from the right.
   * @type {(box: Box, part: number, angle: number) => void}
   */
  arrow(box, part, angle) {
    const c = this.context;
    const [left, top, wide, high] = this.place(box);
    const size = 0.45 * Math.min(wide, high) * part;
    const [dx, dy] = [size * Math.cos(angle), size * Math.sin(angle)];
    const [x, y] = [left + wide / 2, top + high / 2];
    for (const [ink, line] of /** @type {[string, number][]} */ ([["#000000", 3.2], ["#ffffff", 1.5]])) {
      c.strokeStyle = ink;
      c.lineWidth = line * this.unit;
      c.lineCap = "round";
      c.beginPath();
      c.moveTo(x - dx, y - dy);
      c.lineTo(x + dx, y + dy);
      for (const turn of [angle + 2.6, angle - 2.6]) {
        c.moveTo(x + dx, y + dy);
        c.lineTo(x + dx + 0.6 * size * Math.cos(turn), y + dy + 0.6 * size * Math.sin(turn));
      }
      c.stroke();
    }
  }

  /**
   * The edge of a mask of the canvas's size; 0 is outside.
   * @type {(mask: Uint8Array, width: number) => void}
   */
  edge(mask, width) {
    const height = mask.length / width;
    const reach = Math.max(1, Math.round(this.unit));
    this.context.fillStyle = "#ffffff";
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const i = y * width + x;
        if (!mask[i]) continue;
        const inRow = x > 0 && x + 1 < width && mask[i - 1] && mask[i + 1];
        const inColumn = y > 0 && y + 1 < height && mask[i - width] && mask[i + width];
        if (!(inRow && inColumn)) this.context.fillRect(x, y, reach, reach);
      }
    }
  }
}
