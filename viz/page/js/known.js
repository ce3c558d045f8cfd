// Written by `python -m viz.page.js_types`; change the Python side instead.

export const MESSAGE_VERSION = 1;
