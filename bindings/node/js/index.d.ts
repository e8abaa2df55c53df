// The package `hvym-tunnel` uses this module by itself where it is installed. What it exports is between the two, and may
// change with each version of both.

export {};
