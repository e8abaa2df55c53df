// Has the WebAssembly module read from the disk, where `fetch` knows no files.

import { readFile } from "node:fs/promises";

import { provide } from "./load.js";

provide(() => readFile(new URL("runner_bg.wasm", import.meta.url)));
