// The demo's own code: what a dashboard would do with the package, and nothing else.
import { Identity, Tunnel } from "./hvym-tunnel/index.js";
import { owner } from "./owner.js";

const at = (id) => document.getElementById(id);
// The page is itself a service: its host name is that of the relay below one label.
const relay = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host.slice(location.host.indexOf(".") + 1)}`;
const identity = await Identity.generate();
let tunnel = null;
let asking = null;

at("relay").textContent = relay;
at("service").value = `${owner}/demo`;
at("address").textContent = identity.address;

function clock() {
  return new Date().toLocaleTimeString(undefined, { hour12: false });
}

function log(text, isBad = false) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = clock();
  line.append(time, text);
  line.classList.toggle("bad", isBad);
  at("log").prepend(line);
  while (at("log").childElementCount > 200) at("log").lastElementChild.remove();
}

function show(state) {
  at("status").dataset.state = state;
  at("state").textContent = state;
  const isUp = state === "connected";
  at("offer").disabled = !isUp;
  at("reach").disabled = !isUp;
  if (!isUp) at("latency").textContent = "";
}

at("connect").addEventListener("click", () => {
  tunnel = new Tunnel({ relay, identity });
  tunnel.addEventListener("state", ({ detail }) => {
    show(detail.state);
    log(detail.state);
  });
  tunnel.addEventListener("latency", ({ detail }) => {
    at("latency").textContent = `${detail.milliseconds.toFixed(1)} ms`;
  });
  tunnel.addEventListener("down", ({ detail }) => log(detail.message, true));
  tunnel.addEventListener("error", ({ detail }) => log(detail.message ?? String(detail), true));
  at("connect").hidden = true;
  at("disconnect").hidden = false;
});

at("disconnect").addEventListener("click", async () => {
  await tunnel.close();
  tunnel = null;
  at("disconnect").hidden = true;
  at("connect").hidden = false;
  at("url").hidden = true;
  at("offer").hidden = false;
  show("disconnected");
});

at("offer").addEventListener("click", async () => {
  at("offer").disabled = true;
  try {
    const url = await tunnel.serve("tab", answer, { public: true });
    at("url").href = url;
    at("url").textContent = url;
    at("url").hidden = false;
    at("offer").hidden = true;
    log(`offered at ${url}`);
  } catch (error) {
    log(error.message, true);
    at("offer").disabled = false;
  }
});

// Answers a visitor of this tab.
async function answer(request) {
  const { pathname, search } = new URL(request.url);
  const row = document.createElement("tr");
  const body = pathname === "/" ? at("greeting").value : `There is nothing at ${pathname}`;
  const status = pathname === "/" ? 200 : 404;
  for (const text of [clock(), `${request.method} ${pathname}${search}`, String(status)]) {
    const cell = document.createElement("td");
    cell.textContent = text;
    row.append(cell);
  }
  const rows = at("requests");
  rows.querySelector(".empty")?.remove();
  rows.prepend(row);
  while (rows.childElementCount > 8) rows.lastElementChild.remove();
  return new Response(`${body}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}

at("reach").addEventListener("click", async () => {
  const answer = at("answer");
  asking = new AbortController();
  at("reach").disabled = true;
  at("abort").hidden = false;
  const start = performance.now();
  try {
    const response = await tunnel.fetch(at("service").value.trim(), at("path").value, { signal: asking.signal });
    answer.textContent = `${response.status} after ${(performance.now() - start).toFixed(1)} ms\n\n`;
    const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece = await text.read(); !piece.done; piece = await text.read()) {
      answer.append(piece.value);
      answer.scrollTop = answer.scrollHeight;
    }
  } catch (error) {
    if (asking.signal.aborted) answer.append("\n(stopped)");
    else answer.textContent = error.message;
  } finally {
    at("abort").hidden = true;
    at("reach").disabled = tunnel?.state !== "connected";
  }
});

at("abort").addEventListener("click", () => asking.abort());
