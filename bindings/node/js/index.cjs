// Gives the module that was made for this system; nothing where there is none.

"use strict";

const { existsSync } = require("node:fs");
const { join } = require("node:path");

const file = join(__dirname, `hvym_tunnel-${process.platform}-${process.arch}.node`);

module.exports = existsSync(file) ? require(file) : {};
