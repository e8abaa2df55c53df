//! The demo's web site: the page, the browser package beside it, and two things to ask for through a tunnel.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;

use crate::exit::{Exit, ExitError};
use crate::qr_code;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::hyper::Io;
use hvym_tunnel_net::listener::TcpListener;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::target::ServiceName;
use hvym_tunnel_net::tcp::Tcp;
use hvym_tunnel_net::timer::Timer;

/// The page's own files.
const PAGE: [(&str, &str); 3] = [
    ("index.html", include_str!("index.html")),
    ("demo.css", include_str!("demo.css")),
    ("demo.js", include_str!("demo.js")),
];
/// Below this the browser package is served.
const PACKAGE: &str = "hvym-tunnel/";
/// Scripts of this machine alone: the page must work without a network, and show that it does. A person names the relay.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data:; \
    connect-src 'self' ws: wss:";
/// Between two events of `/ticks`.
const TICK: Duration = Duration::from_secs(1);

type Content = UnsyncBoxBody<Bytes, Infallible>;

/// What is served, all of it in memory.
pub(super) struct Site {
    files: BTreeMap<String, (HeaderValue, Bytes)>,
}

/// The name of the service.
pub(super) fn service() -> ServiceName {
    "demo".parse().expect("a name of lower-case letters is one")
}

impl Site {
    /// The page of the agent `owner`, and the package in the folder `package`.
    ///
    /// # Errors
    /// There is no package in it.
    pub(super) fn load(package: &Path, owner: Address) -> Result<Arc<Self>, ExitError> {
        let mut files = BTreeMap::new();
        let mut keep = |name: String, content: Bytes| {
            let kind = mime_guess::from_path(&name).first_raw().unwrap_or("application/octet-stream");
            files.insert(name, (HeaderValue::from_static(kind), content));
        };
        for (name, content) in PAGE {
            keep(name.to_owned(), Bytes::from_static(content.as_bytes()));
        }
        // The page's own host name is not enough to tell: it begins with a hash of the address.
        keep("owner.js".to_owned(), format!("export const owner = \"{owner}\";\n").into());
        let missing = |error: std::io::Error| {
            let what = format!("there is no browser package in {}: {error}", package.display());
            ExitError::new(Exit::Config, what)
                .with_hint("make it with `cargo xtask wasm`, or name its folder with --package")
        };
        let mut has_entry = false;
        for entry in fs::read_dir(package).map_err(missing)? {
            let entry = entry.map_err(missing)?;
            if entry.file_type().map_err(missing)?.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                has_entry |= name == "index.js";
                keep(format!("{PACKAGE}{name}"), fs::read(entry.path()).map_err(missing)?.into());
            }
        }
        if !has_entry {
            return Err(missing(std::io::Error::other("no index.js")));
        }
        Ok(Arc::new(Self { files }))
    }

    /// Answers whoever connects, until it is dropped.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (tcp, _) = listener.accept().await;
            let site = Arc::clone(&self);
            spawn(async move { site.converse(tcp).await }).detach();
        }
    }

    async fn converse(self: Arc<Self>, tcp: Tcp) {
        let service = service_fn(|request: Request<Incoming>| {
            let answer = self.answer(request.method(), request.uri());
            async move { Ok::<_, Infallible>(answer) }
        });
        if let Err(error) = http1::Builder::new().serve_connection(Io(tcp), service).await {
            tracing::debug!(%error, "a connection to the demo's site ended");
        }
    }

    fn answer(&self, method: &Method, uri: &Uri) -> Response<Content> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "This page is only for reading.\n");
        }
        match uri.path() {
            "/qr.svg" => match uri.query().and_then(qr_code::svg) {
                Some(image) => {
                    let kind = HeaderValue::from_static("image/svg+xml");
                    respond(StatusCode::OK, kind, Full::new(Bytes::from(image)).boxed_unsync())
                }
                None => text(StatusCode::URI_TOO_LONG, "That is too long for a QR code.\n"),
            },
            "/hello" => text(StatusCode::OK, "Hello from the machine that runs the demo.\n"),
            "/ticks" => {
                let ticks = Ticks { timer: Timer::after(TICK), count: 0 };
                respond(StatusCode::OK, HeaderValue::from_static("text/event-stream"), ticks.boxed_unsync())
            }
            path => {
                let name = path.trim_start_matches('/');
                let name = if name.is_empty() { "index.html" } else { name };
                match self.files.get(name) {
                    Some((kind, content)) => {
                        respond(StatusCode::OK, kind.clone(), Full::new(content.clone()).boxed_unsync())
                    }
                    None => text(StatusCode::NOT_FOUND, "There is no such page in the demo.\n"),
                }
            }
        }
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Content> {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    respond(status, kind, Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync())
}

fn respond(status: StatusCode, kind: HeaderValue, body: Content) -> Response<Content> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Another build may stand at the same address a minute later.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One event a second, for as long as somebody listens.
struct Ticks {
    timer: Timer,
    count: u64,
}

impl Body for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(Pin::new(&mut self.timer).poll(cx));
        self.timer = Timer::after(TICK);
        self.count += 1;
        let event = format!("id: {0}\ndata: tick {0}\n\n", self.count);
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Address = Address::from_public_key([7; 32]);

    fn site(of: &str) -> Arc<Site> {
        let folder = std::env::temp_dir().join(format!("hvym-tunnel-demo-{of}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("index.js"), "export {};").expect("a file");
        let site = Site::load(&folder, OWNER).unwrap_or_else(|failure| panic!("{failure:?}"));
        fs::remove_dir_all(&folder).expect("the folder goes");
        site
    }

    #[test]
    fn the_page_and_the_package_are_served_and_nothing_else() {
        let site = site("files");
        let status = |method: Method, path: &'static str| {
            site.answer(&method, &Uri::from_static(path)).status().as_u16()
        };
        for path in [
            "/",
            "/index.html",
            "/owner.js",
            "/demo.js",
            "/demo.css",
            "/hvym-tunnel/index.js",
            "/hello",
            "/ticks",
            "/qr.svg?http://tab--x.localhost:4897/",
        ] {
            assert_eq!(status(Method::GET, path), 200, "{path}");
        }
        for path in ["/../Cargo.toml", "/hvym-tunnel/", "/hvym-tunnel/../index.js", "/x"] {
            assert_eq!(status(Method::GET, path), 404, "{path}");
        }
        assert_eq!(status(Method::GET, "/qr.svg"), 414);
        assert_eq!(status(Method::POST, "/hello"), 405);
    }

    #[test]
    fn modules_have_the_type_that_browsers_demand() {
        let site = site("types");
        let kind = |path: &'static str| {
            site.answer(&Method::GET, &Uri::from_static(path)).headers()[CONTENT_TYPE].clone()
        };
        assert!(kind("/demo.js").to_str().is_ok_and(|kind| kind.ends_with("/javascript")));
        assert_eq!(kind("/"), "text/html");
    }

    #[test]
    fn a_folder_without_a_package_says_how_to_make_one() {
        let failure = Site::load(Path::new("no/such/folder"), OWNER).err();
        assert!(failure.is_some_and(|failure| failure.exit == Exit::Config));
    }
}
