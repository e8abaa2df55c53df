// The demo's own code: what a dashboard would do with the package, and nothing else.
import { Identity, Tunnel } from "./hvym-tunnel/index.js";
import { owner } from "./owner.js";

const at = (id) => document.getElementById(id);
// The page is itself a service: its host name is that of the relay below one label.
const relay = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host.slice(location.host.indexOf(".") + 1)}`;
const identity = await keptIdentity();
let tunnel = null;
let asking = null;

at("relay").value = relay;
at("service").value = `${owner}/demo`;
at("address").textContent = identity.address;

/** The key that this browser keeps; one of this tab where browsers keep none. */
async function keptIdentity() {
  try {
    return await Identity.persistent();
  } catch (error) {
    at("key").textContent = `This key lasts as long as this tab: ${error.message}.`;
    at("forget").hidden = true;
    return Identity.generate();
  }
}

/** Hides one control and shows another, which has the focus if the hidden one had it. */
function swap(hidden, shown) {
  const hadFocus = at(hidden).contains(document.activeElement);
  at(hidden).hidden = true;
  at(shown).hidden = false;
  if (hadFocus) (at(shown).querySelector("a") ?? at(shown)).focus();
}

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

const said = ({ message, hint }) => (hint ? `${message}: ${hint}` : message);

at("connect").addEventListener("click", () => {
  try {
    tunnel = new Tunnel({ relay: at("relay").value.trim(), identity });
  } catch (error) {
    log(said(error), true);
    return;
  }
  at("relay").disabled = true;
  tunnel.addEventListener("state", ({ detail }) => {
    show(detail.state);
    log(detail.state);
  });
  tunnel.addEventListener("latency", ({ detail }) => {
    at("latency").textContent = `${detail.milliseconds.toFixed(1)} ms`;
  });
  tunnel.addEventListener("down", ({ detail }) => log(said(detail.error ?? detail), true));
  tunnel.addEventListener("error", ({ detail }) => log(detail.message ? said(detail) : String(detail), true));
  swap("connect", "disconnect");
});

at("disconnect").addEventListener("click", async () => {
  await tunnel.close();
  tunnel = null;
  at("relay").disabled = false;
  swap("disconnect", "connect");
  swap("offered", "offer");
  show("disconnected");
});

at("offer").addEventListener("click", async () => {
  try {
    const url = await tunnel.serve("tab", answer, { public: true });
    at("url").href = url;
    at("url").textContent = url;
    at("qr").src = `qr.svg?${url}`;
    swap("offer", "offered");
    log(`offered at ${url}`);
  } catch (error) {
    log(said(error), true);
  }
});

at("forget").addEventListener("click", async () => {
  await tunnel?.close();
  await identity.forget();
  location.reload();
});

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(at(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => {
      button.textContent = "Copy";
    }, 2000);
  });
}

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
  swap("reach", "abort");
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
    else answer.textContent = said(error);
  } finally {
    swap("abort", "reach");
  }
});

at("abort").addEventListener("click", () => asking.abort());
