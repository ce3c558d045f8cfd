// Where the views meet the page: the only module that knows what Gradio's HTML component gives to a script.
import { mount as mountGrid } from "./grid.js";
import { watchFiles } from "./incoming.js";
import { mount as mountViewer } from "./viewer.js";

/** @typedef {import("./view.js").Host} Host */

/**
 * @typedef {object} Component What Gradio gives.
 * @property {HTMLElement} element
 * @property {{ value: string, extra: string }} props
 * @property {(event: string, detail: object) => void} trigger
 * @property {(name: string, call: () => void) => void} watch
 */

/**
 * A message, or null where there is none.
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
 * What the page gives to a view.
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
 * Show a view in a component and hand it what the server sends.
 * @param {Component} component
 * @param {typeof mountViewer | typeof mountGrid} mount
 */
function attach(component, mount) {
  const { element, props, watch } = component;
  const view = mount(element, parsed(props.value), hostOf(component));
  watch("value", () => view.receive(parsed(props.value)));
  watch("extra", () => view.extend(parsed(props.extra)));
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
  if (dataset.incoming) return; // once, however often the viewer is built
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
