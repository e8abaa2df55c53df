//! Recognises a service that refuses the public host name, which is what most development servers do by default.
//!
//! It looks at a status, the fields and the beginning of a body, all of which the service may word as it likes: a wrong
//! answer costs a wrong hint and nothing more. The words were read in the sources of the servers named here.

use core::fmt;

use hvym_http1::{AccessRecord, Headers, ResponseView, Sniff, Tap};
use hvym_tunnel_core::time::Instant;

/// How much of a body is looked at. The longest page recognised (Angular) names itself within 1.7 KiB.
const PREFIX_BYTES: usize = 2048;

/// What webpack-dev-server answers, up to version 4 with status 200 and from version 5 with 403.
const WEBPACK: &[u8] = b"Invalid Host header";

/// A server that refused the host name a visitor used.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DevServer {
    /// Vite, and what is built on it: Nuxt, SvelteKit, Astro, Remix, Storybook.
    Vite,
    /// The Angular CLI.
    Angular,
    /// webpack-dev-server: Create React App, Vue CLI, older Angular.
    Webpack,
    /// Next.js in development; it looks at `Origin`, not at `Host`.
    Next,
    /// Django with `DEBUG` on.
    Django,
    /// Rails in development.
    Rails,
    /// Starlette and FastAPI with `TrustedHostMiddleware`.
    Starlette,
    /// Jupyter Server, and what is built on it: JupyterLab, Notebook.
    Jupyter,
    /// A server by the Python SDK of the Model Context Protocol, which looks at `Host` and `Origin`.
    Mcp,
    /// One that answers 421 (Misdirected Request) and cannot be told from others.
    Unknown,
}

impl DevServer {
    /// Its name, for a person.
    pub const fn name(self) -> &'static str {
        match self {
            DevServer::Vite => "Vite",
            DevServer::Angular => "Angular",
            DevServer::Webpack => "webpack-dev-server",
            DevServer::Next => "Next.js",
            DevServer::Django => "Django",
            DevServer::Rails => "Rails",
            DevServer::Starlette => "Starlette",
            DevServer::Jupyter => "Jupyter",
            DevServer::Mcp => "the MCP server",
            DevServer::Unknown => "the service",
        }
    }

    /// The setting in its own configuration that lists more hosts, if it is known.
    pub const fn setting(self) -> Option<&'static str> {
        Some(match self {
            DevServer::Vite => "server.allowedHosts",
            DevServer::Angular | DevServer::Webpack => "allowedHosts",
            DevServer::Next => "allowedDevOrigins",
            DevServer::Django => "ALLOWED_HOSTS",
            DevServer::Rails => "config.hosts",
            DevServer::Starlette | DevServer::Mcp => "allowed_hosts",
            DevServer::Jupyter => "ServerApp.allow_remote_access or ServerApp.local_hostnames",
            DevServer::Unknown => return None,
        })
    }
}

impl fmt::Display for DevServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Finds the development server behind a response that refused the host name.
#[derive(Debug)]
pub(super) struct HostCheck;

impl Sniff for HostCheck {
    type Finding = DevServer;

    const PREFIX_BYTES: usize = PREFIX_BYTES;

    fn wants(&self, response: &ResponseView<'_>) -> bool {
        is_worth_a_look(response.status(), response.length())
    }

    fn inspect(&self, status: u16, headers: &Headers, prefix: &[u8]) -> Option<DevServer> {
        recognise(status, headers, prefix)
    }
}

/// Observes one connection to a service.
pub(super) type HttpObserver = Tap<Instant, HostCheck>;

/// What an [`HttpObserver`] reports.
pub(super) type ObservedRequest = AccessRecord<Instant, DevServer>;

/// Whether the beginning of this body can tell anything, so that other bodies are never held.
fn is_worth_a_look(status: u16, length: Option<u64>) -> bool {
    match status {
        400 | 403 | 421 => true,
        200 => length == Some(WEBPACK.len() as u64),
        _ => false,
    }
}

/// Which server refused the host, from the beginning of the body (at least [`PREFIX_BYTES`] of it, or all), decoded
/// from its transfer coding. `None` for every other response, and for a body with a `Content-Encoding`.
fn recognise(status: u16, headers: &Headers, body_prefix: &[u8]) -> Option<DevServer> {
    let has = |words: &[u8]| contains(body_prefix, words);
    let body = body_prefix.trim_ascii();
    match status {
        200 if body == WEBPACK => Some(DevServer::Webpack),
        403 if has(b"Blocked request. This host (") && has(b"angular.json") => Some(DevServer::Angular),
        403 if has(b"Blocked request. This host (") => Some(DevServer::Vite),
        403 if body.starts_with(WEBPACK) => Some(DevServer::Webpack),
        403 if has(b"Blocked host") && has(b"To allow requests to") => Some(DevServer::Rails),
        // Its styles are longer than the prefix, so the words above come too late. Every other Rails error page passes
        // the middleware that adds a request id; the host check comes before it.
        403 if has(b"<title>Action Controller: Exception caught</title>")
            && !headers.contains("x-request-id") =>
        {
            Some(DevServer::Rails)
        }
        403 if body == b"Unauthorized" && !headers.contains("content-type") => Some(DevServer::Next),
        400 if has(b"<title>DisallowedHost") || body.starts_with(b"DisallowedHost at ") => {
            Some(DevServer::Django)
        }
        400 if body == b"Invalid host header" => Some(DevServer::Starlette),
        // The template of all its error pages. Who is not logged in is sent to the login, so a 403 without a message is
        // about the host.
        403 if has(b"<title>Jupyter Server</title>") && !has(b"The error was:") => Some(DevServer::Jupyter),
        421 if body == b"Invalid Host header" => Some(DevServer::Mcp),
        403 if body == b"Invalid Origin header" => Some(DevServer::Mcp),
        // The server is not responsible for this host (RFC 9110 section 15.5.20).
        421 => Some(DevServer::Unknown),
        _ => None,
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use hvym_http1::{LAST_CHUNK, encode_chunk};

    use super::*;

    fn headers(fields: &[(&str, &'static str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.push(*name, *value);
        }
        headers
    }

    #[test]
    fn each_server_is_known_by_its_own_words() {
        let html = headers(&[("Content-Type", "text/html")]);
        let cases: [(u16, &str, DevServer); 12] = [
            (
                403,
                "Blocked request. This host (\"a.example\") is not allowed.\nTo allow this host, add \"a.example\" \
                 to `server.allowedHosts` in vite.config.js.",
                DevServer::Vite,
            ),
            (
                403,
                "<title>Blocked request</title><h1>Blocked request. This host (\"a.example\") is not allowed.</h1>\
                 <code>allowedHosts</code> under the <code>serve</code> target in <code>angular.json</code>",
                DevServer::Angular,
            ),
            (403, "Invalid Host header", DevServer::Webpack),
            (
                403,
                "Blocked hosts: a.example\n\nTo allow requests to these hosts, make sure",
                DevServer::Rails,
            ),
            (403, "<head>\n<title>Action Controller: Exception caught</title>\n<style>", DevServer::Rails),
            (400, "<!DOCTYPE html>\n<title>DisallowedHost\n          at /</title>", DevServer::Django),
            (400, "DisallowedHost at /api\nInvalid HTTP_HOST header", DevServer::Django),
            (400, "Invalid host header", DevServer::Starlette),
            (
                403,
                "<!DOCTYPE HTML>\n<html>\n<head>\n    <meta charset=\"utf-8\">\n    <title>Jupyter Server</title>",
                DevServer::Jupyter,
            ),
            (421, "Invalid Host header", DevServer::Mcp),
            (403, "Invalid Origin header", DevServer::Mcp),
            (421, "<h1>Misdirected Request</h1>", DevServer::Unknown),
        ];
        for (status, body, server) in cases {
            assert_eq!(recognise(status, &html, body.as_bytes()), Some(server), "{body}");
            assert_eq!(recognise(500, &html, body.as_bytes()), None, "{body}");
        }
        assert_eq!(recognise(403, &Headers::new(), b"Unauthorized"), Some(DevServer::Next));
        assert_eq!(recognise(403, &html, b"Unauthorized"), None);
    }

    #[test]
    fn an_older_webpack_refuses_with_success() {
        let sized = headers(&[("Content-Length", "19")]);
        assert_eq!(recognise(200, &sized, b"Invalid Host header"), Some(DevServer::Webpack));
        assert!(
            is_worth_a_look(200, Some(19)) && !is_worth_a_look(200, None) && !is_worth_a_look(200, Some(20))
        );
        assert_eq!(recognise(200, &sized, b"a page of 19 bytes."), None);
    }

    #[test]
    fn an_application_that_refuses_a_person_is_not_a_host_check() {
        let page = b"<title>Action Controller: Exception caught</title>";
        assert_eq!(recognise(403, &headers(&[("X-Request-Id", "1")]), page), None);
        assert_eq!(recognise(403, &headers(&[]), b"<h1>403 Forbidden</h1>"), None);
        assert_eq!(recognise(400, &headers(&[]), b""), None);
        let message =
            b"<title>Jupyter Server</title><p>The error was:</p><pre>XSRF cookie does not match</pre>";
        assert_eq!(recognise(403, &headers(&[]), message), None);
    }

    /// Everything a tap finds in these responses, each to a `GET` or, if it begins with `HEAD `, to a `HEAD`.
    fn found(responses: &[&[u8]]) -> Vec<(Option<DevServer>, bool)> {
        let mut tap = HttpObserver::with_sniff(HostCheck);
        for response in responses {
            let (request, response) = match response.strip_prefix(b"HEAD ") {
                Some(response) => ("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", response),
                None => ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", *response),
            };
            tap.handle_request_bytes(request.as_bytes(), Instant::ZERO);
            tap.handle_response_bytes(response, Instant::ZERO);
        }
        tap.handle_response_end(Instant::ZERO);
        std::iter::from_fn(|| tap.poll_event()).map(|record| (record.finding, record.complete)).collect()
    }

    #[test]
    fn a_development_server_that_refuses_the_host_is_named() {
        let mut vite = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        encode_chunk(b"Blocked request. This ho", &mut vite);
        encode_chunk(b"st (\"a.example\") is not allowed.", &mut vite);
        let broken = [&vite[..], b"zero"].concat();
        vite.extend_from_slice(LAST_CHUNK);
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(found(&[&vite, ok]), [(Some(DevServer::Vite), true), (None, true)]);
        assert_eq!(found(&[&broken]), [(Some(DevServer::Vite), false)]);
        let webpack = b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nInvalid Host header";
        assert_eq!(found(&[webpack]), [(Some(DevServer::Webpack), true)]);
        assert_eq!(found(&[b"HEAD HTTP/1.1 403 Forbidden\r\nContent-Length: 19\r\n\r\n"]), [(None, true)]);
    }
}
