// Builds main.js, and fails if webpack warns of anything.

import webpack from "webpack";

const [mode, path] = process.argv.slice(2);
// The module is larger than what it warns of.
const performance = { hints: false };
webpack({ mode, entry: "./main.js", output: { path }, devtool: false, performance }, (error, stats) => {
  if (error || stats.hasErrors() || stats.hasWarnings()) {
    console.error(error ?? stats.toString());
    process.exit(1);
  }
});
