// What a page names to reach a service: `G.../service`, with a path or without, or the service's long URL at the relay.

import { TunnelError } from "./error.js";

/** The service that an address without one leads to. */
const BARE_SERVICE = "web";
const IN_TUNNEL = /^([^/?#]+)\/([^/?#]+)([/?#].*)?$/s;
/** `service.address.domain` or `address.domain`; the label of an address has 56 characters. */
const LONG_HOST = /^(?:([a-z0-9-]+)\.)?(g[a-z2-7]{55})\./;

/** Owner, service and URL of `input`; `originOf(address, service)` is the origin of a service at the relay. */
export function resolve(input, originOf) {
  const text = String(input);
  if (/^(https?|wss?):/i.test(text)) {
    const url = new URL(text);
    url.protocol = url.protocol.replace("ws", "http");
    return ofUrl(url) ?? fail("the host of this URL is not the long name of a service: service.address.domain");
  }
  const [, address, service, path = "/"] = IN_TUNNEL.exec(text) ?? fail("a service of an identity is written G.../service");
  try {
    return { address, service, url: new URL(originOf(address, service) + path) };
  } catch {
    return fail("this is no address, or no path");
  }
}

/** The same of a URL that may lead to somewhere else: `undefined` then. */
export function ofUrl(url) {
  const [, service = BARE_SERVICE, label] = LONG_HOST.exec(url.hostname) ?? [];
  return label && { address: label.toUpperCase(), service, url };
}

/** What a request asks for: percent-encoded as browsers do, so that it contains no space or line break. */
export const requestTarget = (url) => `${url.pathname}${url.search}`;

function fail(message) {
  throw new TunnelError("bad_target", message);
}
