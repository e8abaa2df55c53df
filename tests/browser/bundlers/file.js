// The package, with its module where a bundler has put it.

import * as tunnel from "hvym-tunnel";
import module from "hvym-tunnel/wasm";
import { tell } from "./tell.js";

tell(async () => {
  await tunnel.load(module);
  return { tunnel };
});
