// What a bridge changes in pages and responses: the script that stands in for the network, and the policy that lets it run.

/** Bytes in which a document type is looked for; scripts ahead of it would change how the page is laid out. */
const MAX_PROLOGUE = 4096;
/** White space and comments, then the document type. */
const DOCTYPE = /^(?:\ufeff)?(?:\s|<!--[^]*?-->)*<!doctype[^>]*>/i;

/** Fields of a response that are about its connection, or about the browser's own network. */
const DROPPED = [
  ...["connection", "keep-alive", "set-cookie", "transfer-encoding", "upgrade", "alt-svc", "nel", "report-to"],
  // The key is a part of it.
  "clear-site-data",
];

/** The fields for a response that a service worker gives. */
export function fieldsFrom(headers) {
  const fields = new Headers(headers);
  for (const name of DROPPED) fields.delete(name);
  return fields;
}

/** Puts `script`, which is text, in front of what a page loads. Works on bytes: the names in HTML are ASCII. */
export function withScript(body, script) {
  let head = new Uint8Array();
  const insert = (controller) => {
    const text = new TextDecoder("latin1").decode(head);
    // A mark of UTF-8 has three characters in latin1.
    const mark = text.startsWith("\u00ef\u00bb\u00bf") ? 3 : 0;
    const at = mark + (DOCTYPE.exec(text.slice(mark))?.[0].length ?? 0);
    controller.enqueue(head.subarray(0, at));
    controller.enqueue(new TextEncoder().encode(script));
    controller.enqueue(head.subarray(at));
    head = undefined;
  };
  return body.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        if (head === undefined) return controller.enqueue(chunk);
        const longer = new Uint8Array(head.length + chunk.length);
        longer.set(head);
        longer.set(chunk, head.length);
        head = longer;
        const isKnown = DOCTYPE.test(new TextDecoder("latin1").decode(head).replace(/^\u00ef\u00bb\u00bf/, ""));
        if (isKnown || head.length >= MAX_PROLOGUE || /<(?:html|head|body|script|meta)/i.test(new TextDecoder("latin1").decode(head))) insert(controller);
      },
      flush(controller) {
        if (head !== undefined) insert(controller);
      },
    }),
  );
}

/**
 * What a document of another origin may do with one that only a key opens: it is not shown there unless its policy says so. And
 * `no-referrer` becomes a policy by which its own forms can be told from those of other sites.
 */
export function guardDocument(headers) {
  const isDecided = /(?:^|[;,])\s*frame-ancestors\b/i.test(headers.get("content-security-policy") ?? "");
  if (!isDecided && !headers.has("x-frame-options")) headers.set("x-frame-options", "SAMEORIGIN");
  const policy = headers.get("referrer-policy");
  if (policy !== null) headers.set("referrer-policy", policy.replaceAll(/(^|[\s,])no-referrer(?=$|[\s,])/gi, "$1same-origin"));
}

/** A policy (CSP) that also lets the script with `nonce` run. */
export function policyWith(policy, nonce) {
  return policy
    .split(",")
    .map((one) => allow(one, nonce))
    .join(",");
}

function allow(policy, nonce) {
  const directives = policy.split(";").map((directive) => directive.trim().split(/\s+/)).filter(([name]) => name !== "");
  const find = (wanted) => directives.find(([name]) => name.toLowerCase() === wanted);
  const exact = find("script-src-elem") ?? find("script-src");
  const governing = exact ?? find("default-src");
  if (governing === undefined) return policy;
  const sources = governing.slice(1).filter((source) => source.toLowerCase() !== "'none'");
  // Beside a nonce or a hash, 'unsafe-inline' would count no more.
  const isOpen =
    sources.some((source) => source.toLowerCase() === "'unsafe-inline'") &&
    !sources.some((source) => /^'(?:nonce-|sha\d|strict-dynamic)/i.test(source));
  if (isOpen) return policy;
  const widened = [exact?.[0] ?? "script-src", ...sources, `'nonce-${nonce}'`];
  if (exact) directives[directives.indexOf(exact)] = widened;
  else directives.push(widened);
  return directives.map((directive) => directive.join(" ")).join("; ");
}
