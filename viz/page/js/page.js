// Connects the views with the page: the only module that knows what Gradio's HTML component passes to a script.
import { mount as mountGrid } from "./grid.js";
import { watchFiles } from "./incoming.js";
import { MESSAGE_VERSION } from "./known.js";
import { mount as mountViewer } from "./viewer.js";

/** @typedef {import("./view.js").Host} Host */

/**
 * @typedef {object} Component What Gradio passes.
 * @property {HTMLElement} element
 * @property {{ value: string, extra: string }} props
 * @property {(event: string, detail: object) => void} trigger
 * @property {(name: string, call: () => void) => void} watch
 */

/**
 * A message, or null if there is none.
 * @param {string} text
 */
function parsed(text) {
  try {
    return JSON.parse(text || "null");
  } catch {
    return null;
  }
}

/**
 * The host of a view.
 * @type {(component: Component) => Host}
 */
const hostOf = ({ trigger }) => ({
  send: trigger,
  picture(src, done, failed) {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = failed;
    image.src = src;
  },
  frame: (call) => requestAnimationFrame(call),
  every(milliseconds, call) {
    const timer = setInterval(call, milliseconds);
    return () => clearInterval(timer);
  },
});

/**
 * Show a view in a component and pass it the messages of the server.
 * @param {Component} component
 * @param {typeof mountViewer | typeof mountGrid} mount
 */
function attach(component, mount) {
  const { element, props, watch } = component;
  const view = mount(element, null, hostOf(component));
  // The server may have been updated since this page was loaded.
  const current = (/** @type {string} */ text) => {
    const message = parsed(text);
    if (!message || message.message_version === MESSAGE_VERSION) return message;
    view.say("This page and its server are of different versions; load the page again.");
    return null;
  };
  const receive = () => view.receive(current(props.value));
  receive();
  watch("value", receive);
  watch("extra", () => view.extend(current(props.extra)));
  return view;
}

/** @param {Component} component */
export function grid(component) {
  attach(component, mountGrid);
}

/** @param {Component} component */
export function viewer(component) {
  const view = attach(component, mountViewer);
  watchChannels(component.trigger);
  const { dataset } = document.documentElement;
  if (dataset.incoming) return; // only once, however often the viewer is built
  dataset.incoming = "watched";
  watchFiles((sentence) => view.say(sentence));
}

/**
 * Report clicks on a bar of the channel plot, which Gradio does not report to the server.
 * @param {Component["trigger"]} trigger
 */
function watchChannels(trigger) {
  new MutationObserver(() => {
    for (const plot of /** @type {NodeListOf<any>} */ (document.querySelectorAll("#channel-plot .js-plotly-plot"))) {
      if (plot.dataset.watched || !plot.on) continue;
      plot.dataset.watched = "yes";
      plot.on("plotly_click", (/** @type {any} */ event) => {
        const [channel] = [event.points?.[0]?.customdata].flat();
        if (Number.isInteger(channel)) trigger("pick_channel", { channel });
      });
    }
  }).observe(document.body, { childList: true, subtree: true });
}
