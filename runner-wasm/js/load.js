// Loads the WebAssembly module once. Nobody gets its exports, because its memory is among them, and keys are in there.

import { TunnelError } from "./error.js";
import init from "./runner.js";

const INLINE_HINT = 'import from "hvym-tunnel/inline", which has the module in it; or call load() with the URL of hvym-tunnel/wasm first';
const POLICY_HINT = "add 'wasm-unsafe-eval' to script-src of the page's Content-Security-Policy";

let loading;
/** Gives the module where this entry of the package has it at hand. */
let atHand;

/** Has `load` take the module from `source()`, and not from the file beside the scripts. */
export function provide(source) {
  atHand = source;
}

export function load(module) {
  loading ??= instantiate(module).catch((error) => {
    // A failed download must not prevent the next attempt.
    loading = undefined;
    throw error;
  });
  return loading;
}

async function instantiate(module) {
  const source = await (module ?? atHand?.() ?? fileBeside());
  const isPlace = typeof source === "string" || source instanceof URL || source instanceof Request;
  const given = isPlace ? await download(source) : source;
  if (given instanceof Response) checkResponse(given);
  try {
    await init({ module_or_path: given });
  } catch (error) {
    // Browsers have no class of its own for it.
    if (/\beval\b|CSP|Content.Security/i.test(error.message)) {
      throw new TunnelError("module_blocked", `this page lets no WebAssembly run: ${error.message}`, POLICY_HINT);
    }
    throw missing(given.url ?? "what was given as the module", error.message);
  }
}

/** Where the module lies, if the scripts are served as they came, or by a bundler that knows this form. */
function fileBeside() {
  try {
    return new URL("runner_bg.wasm", import.meta.url);
  } catch {
    throw missing("the module", "these scripts do not know where they lie");
  }
}

async function download(place) {
  try {
    return await fetch(place);
  } catch (error) {
    throw missing(place.url ?? place, error.message);
  }
}

function checkResponse({ ok, status, url, headers }) {
  if (!ok) throw missing(url, `the server answers with ${status}`);
  // What development servers answer for every file that they have not.
  if (headers.get("content-type")?.startsWith("text/html")) throw missing(url, "it is a page");
}

const missing = (place, why) => new TunnelError("module_missing", `${place} is no WebAssembly module: ${why}`, INLINE_HINT);
