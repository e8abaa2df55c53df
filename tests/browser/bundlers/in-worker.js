// Has a worker do it.

new Worker(`./direct.js${location.search}`, { type: "module" });
