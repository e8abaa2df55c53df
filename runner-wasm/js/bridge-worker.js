// The service worker of a bridge: every request of the pages of its origin goes to one service of an identity, by a tunnel.
//
// Which service that is, and by which key, `bridge.js` has written into the browser's store. Files below OWN are the network's.

import { eventsOf } from "./bridge-events.js";
import { bridgePage } from "./bridge-page.js";
import { bodyOf, cameBy, fieldsOf, isForged, responseFor } from "./bridge-request.js";
import { resumable } from "./bridge-resume.js";
import { savedName, savingScript } from "./bridge-saving.js";
import { CookieJar } from "./cookies.js";
import { identityNamed } from "./identity.js";
import * as keys from "./keys.js";
import { provideParts } from "./parts.js";
import * as reach from "./reach.js";
import { keep, kept } from "./store.js";
import { Tunnel } from "./tunnel.js";

provideParts({ keys: () => keys, reach: () => reach });

const { origin, host, hostname } = self.location;
/** The folder of this file: what is in there belongs to the bridge. */
const OWN = new URL(".", self.location.href).pathname;
/** How long a request waits for the tunnel, milliseconds. */
const PATIENCE = 20_000;
/** How long a login that ended for good is not made again, milliseconds. */
const AGAIN = 5000;
/** How long after a loss the agent of the service may take to be back, too, milliseconds. */
const SETTLE = 15_000;
/** How long an answer to a page takes that keeps this worker awake; browsers end one that is idle for 30 seconds. */
const AWAKE = 20_000;
/** How often a page is told what of its messages is on its way, milliseconds. */
const REPORT = 50;
/** How often is looked for pages that are gone without a word. */
const SWEEP = 30_000;
/** How long is waited for other pages to leave, milliseconds: one may ask its person first. */
const LEAVE = 2000;

/** What the pages of this origin are for, as `bridge.js` has written it, with the tunnel there and the cookies of its service. */
let leading;
const sockets = new Map();

self.addEventListener("install", (event) => event.waitUntil(self.skipWaiting()));
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (url.origin !== origin) return;
  if (url.pathname === `${OWN}awake`) return event.respondWith(awake());
  if (url.pathname.startsWith(OWN)) return;
  event.respondWith(answer(event, url));
});

self.addEventListener("message", (event) => {
  const { data, ports, source } = event;
  if (data?.kind === "websocket") event.waitUntil(openSocket(data, ports[0], source));
  if (data?.kind === "cookie") event.waitUntil(setCookie(data));
  if (data?.kind === "close") event.waitUntil(close().then(() => ports[0].postMessage("closed")));
  if (data?.kind === "leave") event.waitUntil(leave(source).then(() => ports[0].postMessage("left")));
});

async function awake() {
  await new Promise((resolve) => setTimeout(resolve, AWAKE));
  return new Response(null, { status: 204 });
}

/** Where this origin leads, with its tunnel; `undefined` if nobody has said it. */
function lead() {
  leading ??= start().catch((error) => {
    leading = undefined;
    throw error;
  });
  return leading;
}

async function start() {
  const settings = await kept("bridge", "settings");
  const identity = settings && !settings.isOver && (await identityNamed(settings.name));
  if (!identity) {
    leading = undefined;
    return undefined;
  }
  const jar = new CookieJar(hostname, await kept("bridge", "cookies"));
  const tunnel = new Tunnel({ relay: settings.relay, relayAddress: settings.relayAddress, identity });
  const led = { ...settings, tunnel, jar, ended: undefined, settled: 0, isClosed: false };
  let wasUp = false;
  tunnel.addEventListener("up", () => {
    if (wasUp) led.settled = Date.now() + SETTLE;
    wasUp = true;
  });
  tunnel.addEventListener("down", ({ detail }) => {
    if (detail.retryIn !== undefined) return;
    led.ended = detail.error;
    const own = leading;
    // Not for each request of a page.
    setTimeout(() => {
      if (leading === own) leading = undefined;
    }, AGAIN);
  });
  return led;
}

async function close() {
  const led = await leading?.catch(() => undefined);
  leading = undefined;
  if (led) led.isClosed = true;
  await led?.tunnel.close();
}

/** Ends it for all pages, of which `source` goes on by itself. The others show what is there now. */
async function leave(source) {
  await close();
  const pages = await self.clients.matchAll({ type: "window" });
  const others = pages.filter(({ id }) => id !== source.id);
  // With its fragment it would be the same document.
  const left = Promise.allSettled(others.map((page) => page.navigate(page.url.split("#")[0])));
  await Promise.race([left, new Promise((resolve) => setTimeout(resolve, LEAVE))]);
}

/** Waits until the tunnel is up; rejects with why it is not. */
function connected({ tunnel, ended }) {
  if (ended) return Promise.reject(ended);
  if (tunnel.state === "connected") return Promise.resolve();
  return new Promise((resolve, reject) => {
    const waiting = new AbortController();
    const { signal } = waiting;
    let last;
    const settle = (end, value) => {
      clearTimeout(timer);
      waiting.abort();
      end(value);
    };
    const timer = setTimeout(() => settle(reject, last ?? new Error("the relay does not answer")), PATIENCE);
    tunnel.addEventListener("up", () => settle(resolve), { signal });
    const onDown = ({ detail }) => {
      last = detail.error;
      if (detail.retryIn === undefined) settle(reject, last);
    };
    tunnel.addEventListener("down", onDown, { signal });
    tunnel.wake();
  });
}

async function answer(event, url) {
  const { request } = event;
  let done;
  // The browser may end the worker when nothing is waited for any more.
  event.waitUntil(new Promise((resolve) => {
    done = resolve;
  }));
  try {
    const led = await lead();
    if (led === undefined) {
      done();
      return fetch(request);
    }
    if (isForged(request, origin)) {
      done();
      return new Response("Another site has sent this form. It was not passed on.\n", { status: 403 });
    }
    const { response, events } = await ask(led, request, url);
    await setCookies(led, response.headers.getSetCookie(), url.pathname, false, event.clientId);
    const askRest = async (rest) => (await ask(led, request, url, rest)).response;
    const body = request.method === "GET" ? resumable(response, askRest, request.signal) : response.body;
    const saved = request.mode === "navigate" ? savedName(url) : undefined;
    return responseFor(request, response, { body, script: () => scriptFor(led, url.pathname), events, saved, done });
  } catch (error) {
    done();
    if (request.signal.aborted) throw error;
    return failure(request, error);
  }
}

/** Passes `request` on, or asks for the `rest` of its response, by these fields. */
async function ask(led, request, url, rest) {
  const events = eventsOf(url);
  const cookie = led.jar.header(url.pathname, cameBy(request, origin));
  const headers = fieldsOf(request, { host, origin, lastEventId: events?.lastId, cookie, rest });
  const body = await bodyOf(request);
  const init = { method: request.method, headers, body, signal: request.signal, redirect: "manual" };
  const isSafe = request.method === "GET" || request.method === "HEAD";
  const isWhole = !(body instanceof ReadableStream);
  let isLast = !isSafe;
  for (;;) {
    await connected(led);
    try {
      return { response: await led.tunnel.fetch(led.target, url.pathname + url.search, init), events };
    } catch (error) {
      const isLost = ["not_connected", "stream_lost"].includes(error.code);
      if (isLost && !isLast) isLast = true;
      else if (!isWhole || !(await isExpected(led, error))) throw error;
    }
  }
}

/**
 * Whether the service is expected in a moment, which is waited for then: the tunnel is back after a loss, and the agent of
 * the service, which lost the same relay, is not yet.
 */
async function isExpected(led, { code }) {
  if (code !== "not_reachable" || Date.now() >= led.settled) return false;
  await new Promise((resolve) => setTimeout(resolve, 500));
  return true;
}

/** Takes cookies, keeps them, and tells the pages, of which `client` waits for a response with these. */
async function setCookies(led, lines, path, isScript, client) {
  const { jar } = led;
  const changed = lines.map((line) => jar.set(line, { path, isScript })).includes(true);
  if (!changed) return;
  const pages = await self.clients.matchAll({ type: "window" });
  for (const page of pages.filter(({ id }) => !isScript || id !== client)) {
    page.postMessage({ hvymTunnel: "cookies", cookies: jar.visible(new URL(page.url).pathname) });
  }
  // Those of a session that was ended are nobody's.
  if (!led.isClosed) await keep("bridge", "cookies", jar.entries);
}

/** Takes a cookie of a script. */
async function setCookie({ line, path }) {
  const led = await lead();
  if (led) await setCookies(led, [String(line)], String(path), true);
}

function scriptFor({ jar }, path) {
  const initial = JSON.stringify({ own: OWN, cookies: jar.visible(path) }).replaceAll("<", "\\u003c");
  return `(${bridgePage})(${initial});${savingScript(OWN)}`;
}

/** What a person sees in place of a page: where a key is asked for, or what is wrong. */
async function failure(request, error) {
  const text = error.hint ? `${error.message}: ${error.hint}` : String(error.message);
  // An `EventSource` tries again after this, and after a status never.
  if (request.headers.get("accept") === "text/event-stream") return Response.error();
  if (request.mode !== "navigate") return new Response(text, { status: 502, statusText: "Bad Gateway" });
  const isOver = ["delegation_expired", "delegation_revoked", "forgotten"].includes(error.code);
  // Whose it was is kept: what is stored here is still theirs.
  if (isOver) await keep("bridge", "settings", { ...(await kept("bridge", "settings")), isOver });
  try {
    // The page that asks for a key. Whether it is there for want of a service or of a permission nobody is told.
    return await fetch(OWN, { headers: { accept: "text/html" } });
  } catch {
    const headers = { "content-type": "text/plain; charset=utf-8", refresh: "5" };
    return new Response(`The relay cannot be reached (${text}). This page tries again by itself.\n`, { status: 503, headers });
  }
}

async function openSocket({ path, protocols }, port, source) {
  const close = ({ code, reason, wasClean }) => {
    sockets.delete(port);
    port.postMessage({ kind: "close", code, reason, wasClean });
    port.close();
  };
  let isGone = false;
  port.onmessage = ({ data }) => {
    isGone ||= data.kind === "abort";
  };
  try {
    // What follows the service's name would be a part of it.
    if (!path.startsWith("/")) throw new TypeError("this is no path");
    const led = await lead();
    await reachable(led);
    const headers = { host, origin, "user-agent": navigator.userAgent };
    const cookie = led.jar.header(new URL(path, origin).pathname, "same");
    if (cookie !== "") headers.cookie = cookie;
    const socket = led.tunnel.webSocket(led.target + path, protocols, { headers });
    socket.binaryType = "arraybuffer";
    socket.onopen = () => port.postMessage({ kind: "open", protocol: socket.protocol });
    socket.onmessage = ({ data }) => port.postMessage({ kind: "message", data }, typeof data === "string" ? [] : [data]);
    socket.onclose = close;
    const report = reporter(socket, port);
    port.onmessage = ({ data }) => {
      if (data.kind === "send") {
        socket.send(data.payload);
        report(data.size);
      } else if (data.kind === "close") socket.close(data.code, data.reason);
      else socket.close();
    };
    sockets.set(port, { socket, page: source.id });
    if (isGone) socket.close();
    sweep();
  } catch {
    close({ code: 1006, reason: "", wasClean: false });
  }
}

/** Tells a page what of its messages is on its way, of which a socket has no event. */
function reporter(socket, port) {
  let pending = 0;
  let timer;
  const report = () => {
    const left = socket.bufferedAmount;
    if (left < pending) port.postMessage({ kind: "sent", size: pending - left });
    pending = left;
    timer = left > 0 && socket.readyState === WebSocket.OPEN ? setTimeout(report, REPORT) : undefined;
  };
  return (size) => {
    pending += size;
    timer ??= setTimeout(report, 0);
  };
}

/** Waits until the service is there, if it is expected. */
async function reachable(led) {
  await connected(led);
  while (Date.now() < led.settled) {
    try {
      const { writable } = await led.tunnel.connectStream(led.target);
      return await writable.abort();
    } catch (error) {
      if (!(await isExpected(led, error))) throw error;
    }
  }
}

let sweeping;

/** Ends the sockets of pages that are gone: some end without an event. */
function sweep() {
  sweeping ??= setInterval(async () => {
    for (const { socket, page } of sockets.values()) {
      if ((await self.clients.get(page)) === undefined) socket.close();
    }
    if (sockets.size === 0) {
      clearInterval(sweeping);
      sweeping = undefined;
    }
  }, SWEEP);
}
