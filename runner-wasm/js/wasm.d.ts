/** Where a bundler has put the WebAssembly module: for the option `module`. */
declare const url: string;
export default url;
