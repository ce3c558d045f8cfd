// All state of a mounted view, and values that are computed once.

/** @typedef {(changed: Set<string>) => void} Listener Called with the names of the changed values. */

/**
 * @template {Record<string, any>} State
 * @typedef {object} Store
 * @property {() => Readonly<State>} get The current state; a later change creates a new object.
 * @property {(changes: Partial<State>) => void} set Change values and call the listeners, once for all of them.
 * @property {(listener: Listener) => (() => void)} subscribe Listen; the returned function stops it.
 */

/**
 * Create a store with these values; no other names can be set later.
 * @template {Record<string, any>} State
 * @param {State} initial
 * @returns {Store<State>}
 */
export function createStore(initial) {
  let state = Object.freeze({ ...initial });
  /** @type {Set<Listener>} */
  const listeners = new Set();
  return {
    get: () => state,
    set(changes) {
      const names = Object.keys(changes);
      const unknown = names.find((name) => !(name in state));
      if (unknown !== undefined) throw new TypeError(`Unknown state ${JSON.stringify(unknown)}.`);
      const changed = new Set(names.filter((name) => !Object.is(state[name], changes[name])));
      if (!changed.size) return;
      state = Object.freeze({ ...state, ...changes });
      for (const listener of [...listeners]) listener(changed);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/**
 * @typedef {object} Memo
 * @property {<Value>(key: string, compute: () => Value) => Value} of The value of a key, computed if missing.
 * @property {() => void} clear Forget all values.
 */

/**
 * Values by key; beyond `limit` the oldest is dropped.
 * @type {(limit: number) => Memo}
 */
export function createMemo(limit) {
  /** @type {Map<string, any>} */
  const held = new Map();
  return {
    of(key, compute) {
      if (!held.has(key)) {
        if (held.size >= limit) held.delete(held.keys().next().value);
        held.set(key, compute());
      }
      return held.get(key);
    },
    clear: () => held.clear(),
  };
}
