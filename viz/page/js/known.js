// Written by `python -m viz.page.js_types`; change the Python side instead.

export const MESSAGE_VERSION = 1;

export const METHODS = [
  "gradcam",
  "integrated_gradients",
  "guided_backprop",
  "occlusion",
  "gradcam(TAP)",
  "gradient_x_activation(TAP)",
  "integrated_gradients(TAP)"
];

export const DERIVED = [
  "mean",
  "log",
  "gated",
  "departure",
  "directions",
  "ranks",
  "total"
];

export const BASELINES = [
  "centre_box",
  "centre_gaussian"
];

export const OUTPUTS = [
  "output",
  "probability"
];

export const LONGEST = 200;
