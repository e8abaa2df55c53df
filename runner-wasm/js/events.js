// Small helpers of objects with events, and of promises.

/** As `Promise.withResolvers`, which not every browser has. */
export function withResolvers() {
  const resolvers = {};
  resolvers.promise = new Promise((resolve, reject) => Object.assign(resolvers, { resolve, reject }));
  return resolvers;
}

/** Gives `target` the properties `onopen` and the like. */
export function defineHandlers(target, kinds) {
  for (const kind of kinds) {
    let handler = null;
    target.addEventListener(kind, (event) => handler?.call(target, event));
    Object.defineProperty(target, `on${kind}`, {
      get: () => handler,
      set: (value) => (handler = typeof value === "function" ? value : null),
      enumerable: true,
    });
  }
}

/** Gives a class and its instances constants, as those of the DOM have. */
export function defineConstants(type, constants) {
  for (const [name, value] of Object.entries(constants)) {
    for (const holder of [type, type.prototype]) Object.defineProperty(holder, name, { value, enumerable: true });
  }
}

/** A `CloseEvent`, also where there is no such class. */
export function closeEvent(init) {
  if (globalThis.CloseEvent !== undefined) return new CloseEvent("close", init);
  return Object.assign(new Event("close"), init);
}
