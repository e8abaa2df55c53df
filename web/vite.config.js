// Each page is built for the crate that serves it: names without hashes, because what is served is never cached, and so that
// the same sources give the same files.
import { defineConfig } from "vite";

const places = { inspector: "../runner-native/inspector/assets", dashboard: "../runner-native/manager/assets", console: "../runner-native/relay/console" };

export default defineConfig(({ mode }) => ({
  base: mode === "console" ? "/console/" : "/",
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    outDir: places[mode],
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    rollupOptions: {
      input: { [mode]: `${mode}.html` },
      output: {
        entryFileNames: "assets/[name].js",
        assetFileNames: `assets/${mode}[extname]`,
        inlineDynamicImports: true,
      },
    },
  },
}));
