// What a page does not need before its own code runs. Pages load these parts by `import()` (page.js); a worker has them from its
// beginning, because neither service workers nor all bundlers know `import()` there.

let given;

/** `loaders`: for each name what gives the part, or a promise of it. */
export function provideParts(loaders) {
  given = loaders;
}

/** `keys` of the browser, what `reach`es services of others, or what `serve`s. */
export const part = async (name) => given[name]();
