//! A request of a browser, read and written as a relay forwards it.

use std::hint::black_box;

use bytes::BytesMut;
use hvym_http1::{
    ClientInfo, FieldTable, ForwardedBlock, ForwardedFields, RequestRewrite, RequestView, UrlScheme,
};

/// A `GET` with 13 fields.
const HEAD: &[u8] = b"GET /assets/app-4f2a1c.js?v=17 HTTP/1.1\r\n\
    Host: name.tunnel.example\r\n\
    Connection: keep-alive\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Accept: */*\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: no-cors\r\n\
    Sec-Fetch-Dest: script\r\n\
    Referer: https://name.tunnel.example/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    If-None-Match: \"4f2a1c\"\r\n\r\n";

/// Forwards the head `amount` times; how many bytes were written.
///
/// # Panics
/// If it is refused, which would be another measurement.
pub fn forward(amount: usize) -> usize {
    let peer = [203, 0, 113, 7].into();
    let client = ClientInfo::new(peer, UrlScheme::Https, std::iter::empty(), |_| false);
    let block = ForwardedBlock::new(&client, "name.tunnel.example");
    let forwarded = ForwardedFields::Replace(&block);
    let rewrite = RequestRewrite { forwarded, keeps_client_address: false, host: None, remove: &[] };
    let (mut table, mut out) = (FieldTable::new(), BytesMut::with_capacity(4096));
    let mut written = 0;
    for _ in 0..amount {
        out.clear();
        let view = RequestView::parse(black_box(HEAD), &mut table).expect("a good head");
        view.write_forwarded(&rewrite, &mut out);
        written += black_box(&out).len();
    }
    written
}
