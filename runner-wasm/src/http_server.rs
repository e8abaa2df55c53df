//! Serves the HTTP/1.1 requests of one stream, one after another, with a function of the page.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use hvym_http1::Event;
use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_pages::{Format, Page};
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::http_exchange::{Exchange, HttpExchange, ResponseState, ServerConnection};
use crate::stream::TunnelStream;

/// Bytes of an unread request body that are discarded to keep the connection for the next request; beyond that the
/// connection is closed. One initial window: so much may have been sent before the response arrived.
const MAX_DISCARDED_BODY: usize = 256 * 1024;
/// The response to a malformed request.
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Calls `handler(exchange)` for each request of `stream` until either side closes. Errors that the handler throws are
/// passed to `on_error`.
pub(crate) async fn serve_connection(
    stream: TunnelStream,
    stream_header: StreamHeader,
    handler: Function,
    on_error: impl Fn(&JsValue),
) {
    let connection = Rc::new(ServerConnection::new(stream));
    loop {
        let head = match connection.next_event().await {
            Ok(Some(Event::Head(head))) => head,
            Ok(_) => break,
            Err(_) => {
                // Fails if the error was a lost stream, which needs no response.
                let _lost = connection.write(Bytes::from_static(BAD_REQUEST)).await;
                break;
            }
        };
        let is_last = !head.keeps_alive();
        let exchange = Rc::new(Exchange::new(Rc::clone(&connection), head, stream_header.clone()));
        let outcome = until_reset(connection.stream(), call_handler(&handler, &exchange)).await;
        let Some(outcome) = outcome.filter(|_| !connection.stream().is_reset()) else {
            exchange.notify_reset();
            return;
        };
        if let Err(error) = &outcome {
            on_error(error);
        }
        let is_complete = complete_response(&connection, &exchange).await;
        if !is_complete || is_last || !discard_body(&exchange).await.unwrap_or(false) {
            break;
        }
    }
    // A lost stream needs no close.
    let _lost = connection.stream().finish();
}

async fn call_handler(handler: &Function, exchange: &Rc<Exchange>) -> Result<(), JsValue> {
    let promise = handler.call1(&JsValue::UNDEFINED, &HttpExchange::new(exchange).into())?;
    JsFuture::from(Promise::resolve(&promise)).await.map(drop)
}

/// Ends a response that the handler left incomplete: with a 500 page before the head, with a reset after it. Returns
/// whether another request may follow.
async fn complete_response(connection: &ServerConnection, exchange: &Exchange) -> bool {
    match exchange.take_response() {
        ResponseState::Complete => true,
        ResponseState::Streaming(_) => {
            // The client would take an orderly end for a complete response.
            connection.stream().reset();
            false
        }
        ResponseState::Pending => {
            let head = exchange.head();
            let format = Format::preferred(head.headers.first("accept"));
            let page = Page::service_failed().response(format, &head.method);
            let _lost = connection.write(page).await;
            false
        }
    }
}

/// Reads the rest of the request's body. `false` if it is longer than [`MAX_DISCARDED_BODY`].
async fn discard_body(exchange: &Exchange) -> Result<bool, JsValue> {
    let mut discarded = 0;
    while let Some(data) = exchange.read_body().await? {
        discarded += data.len();
        if discarded > MAX_DISCARDED_BODY {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The output of `work`, or `None` if the stream is reset before.
async fn until_reset<T>(stream: &TunnelStream, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut reset) = (pin!(work), pin!(stream.when_reset()));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => reset.as_mut().poll(cx).map(|()| None),
    })
    .await
}
