//! The requests of one stream, answered one after another by a function of the page.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use hvym_http1::{BodyWriter, Event, Framing, RequestHead, RequestReader, ResponseHead};
use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_pages::{Format, Page};
use js_sys::{Array, Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::fault::{fault, of_http, of_stream};
use crate::fields;
use crate::stream::TunnelStream;
use crate::task::{promise, promise_done};

/// What is read of a request's body that the page did not want, before the connection is given up instead: a first
/// window, which is on its way already when the answer is.
const MAX_UNWANTED: usize = 256 * 1024;
/// Said to what is no request.
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// Said to who waits for it before sending a body (RFC 9110 section 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One stream of requests.
struct Conversation {
    stream: TunnelStream,
    reader: RefCell<RequestReader>,
    input: RefCell<Bytes>,
}

impl Conversation {
    /// The next part, or `None` when the stream ends between two requests.
    async fn next(&self) -> Result<Option<Event<RequestHead>>, JsValue> {
        loop {
            let part = self.reader.borrow_mut().read(&mut self.input.borrow_mut());
            if let Some(part) = part.map_err(|error| of_http(&error))? {
                return Ok(Some(part));
            }
            match self.stream.read().await.map_err(|error| of_stream(&error))? {
                Some(data) => *self.input.borrow_mut() = data,
                None => return self.reader.borrow_mut().handle_end().map_err(|error| of_http(&error)),
            }
        }
    }

    async fn write(&self, data: Bytes) -> Result<(), JsValue> {
        self.stream.write(data).await.map_err(|error| of_stream(&error))
    }
}

/// How far an answer is.
enum Progress {
    Unanswered,
    Answering(BodyWriter),
    Answered,
}

struct Asked {
    conversation: Rc<Conversation>,
    head: RequestHead,
    opening: StreamHeader,
    /// Whether the visitor waits to be told to send the body.
    is_waiting: Cell<bool>,
    is_read: Cell<bool>,
    progress: RefCell<Progress>,
    when_gone: RefCell<Option<Function>>,
}

/// One request, to be answered by JavaScript.
#[wasm_bindgen]
pub struct Exchange(Rc<Asked>);

#[wasm_bindgen]
impl Exchange {
    /// The method.
    #[wasm_bindgen(getter)]
    pub fn method(&self) -> String {
        self.0.head.method.clone()
    }

    /// Path and query.
    #[wasm_bindgen(getter)]
    pub fn target(&self) -> String {
        self.0.head.target.clone()
    }

    /// The fields, flat: name, value, name, value.
    #[wasm_bindgen(getter)]
    pub fn headers(&self) -> Array {
        fields::to_list(&self.0.head.headers)
    }

    /// The service.
    #[wasm_bindgen(getter)]
    pub fn service(&self) -> String {
        self.0.opening.service.clone()
    }

    /// Where the visitor came from, as the relay says; nothing for an identity.
    #[wasm_bindgen(getter)]
    pub fn visitor(&self) -> Option<String> {
        self.0.opening.visitor.clone()
    }

    /// Which identity asks, as the relay says; nothing for a visitor.
    #[wasm_bindgen(getter)]
    pub fn from(&self) -> Option<String> {
        self.0.opening.from.map(|address| address.to_string())
    }

    /// Whether the request has a body.
    #[wasm_bindgen(getter, js_name = hasBody)]
    pub fn has_body(&self) -> bool {
        !matches!(Framing::for_request(&self.0.head), Ok(Framing::Empty | Framing::Length(0)))
    }

    /// Has `callback` called if the visitor goes away before the answer is complete.
    #[wasm_bindgen(js_name = whenGone)]
    pub fn when_gone(&self, callback: Function) {
        *self.0.when_gone.borrow_mut() = Some(callback);
    }

    /// The next bytes of the body, or `undefined` at its end. Rejected if the body is malformed, or the visitor gone.
    pub fn read(&self) -> Promise {
        let asked = Rc::clone(&self.0);
        promise(async move {
            if asked.is_waiting.replace(false) && asked.is_unanswered() {
                asked.conversation.write(Bytes::from_static(CONTINUE)).await?;
            }
            asked.read().await.map(fields::chunk)
        })
    }

    /// Begins the answer. `headers` is flat; `length` is that of the body: 0 for none, nothing for one that comes as it
    /// comes. Rejected if the head cannot be written, was written already, or the visitor is gone.
    pub fn respond(&self, status: u16, reason: String, headers: Vec<String>, length: Option<f64>) -> Promise {
        let asked = Rc::clone(&self.0);
        promise_done(async move {
            let mut head = ResponseHead::new(status, reason);
            head.headers = fields::from_list(&headers);
            let framing = head.set_framing(&asked.head, fields::payload(length));
            let head = head.encode().map_err(|error| fault("bad_response", &error.to_string()))?;
            if !asked.is_unanswered() {
                return Err(fault("bad_response", "the request was answered already"));
            }
            *asked.progress.borrow_mut() = Progress::Answering(BodyWriter::new(framing));
            asked.conversation.write(head).await
        })
    }

    /// Writes a piece of the body, when the visitor takes it. Rejected if the answer was announced shorter, or the
    /// visitor is gone.
    pub fn write(&self, data: Vec<u8>) -> Promise {
        let asked = Rc::clone(&self.0);
        promise_done(async move {
            let wire = match &mut *asked.progress.borrow_mut() {
                Progress::Answering(writer) => writer.encode(Bytes::from(data)),
                _ => return Err(fault("bad_response", "no answer was begun")),
            };
            let wire = wire.map_err(|error| fault("bad_response", &error.to_string()))?;
            asked.conversation.write(wire).await
        })
    }

    /// Ends the answer. Rejected if it was announced longer, or the visitor is gone.
    pub fn finish(&self) -> Promise {
        let asked = Rc::clone(&self.0);
        promise_done(async move {
            let wire = match &*asked.progress.borrow() {
                Progress::Answering(writer) => writer.clone().finish(),
                _ => return Ok(()),
            };
            let wire = wire.map_err(|error| fault("bad_response", &error.to_string()))?;
            *asked.progress.borrow_mut() = Progress::Answered;
            asked.conversation.write(wire).await
        })
    }
}

impl Asked {
    fn is_unanswered(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Unanswered)
    }

    async fn read(&self) -> Result<Option<Bytes>, JsValue> {
        if self.is_read.get() {
            return Ok(None);
        }
        match self.conversation.next().await? {
            Some(Event::Body(data)) => Ok(Some(data)),
            _ => {
                self.is_read.set(true);
                Ok(None)
            }
        }
    }

    /// Reads what the page left of the body; whether all of it could be.
    async fn skip_body(&self) -> Result<bool, JsValue> {
        let mut unwanted = 0;
        while let Some(data) = self.read().await? {
            unwanted += data.len();
            if unwanted > MAX_UNWANTED {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Answers the requests of `stream` by `answer(exchange)`, until either side has enough. What goes wrong in the page is
/// told to `complain`.
pub(crate) async fn converse(
    stream: TunnelStream,
    opening: StreamHeader,
    answer: Function,
    complain: impl Fn(&JsValue),
) {
    let reader = RefCell::new(RequestReader::new());
    let conversation = Rc::new(Conversation { stream, reader, input: RefCell::default() });
    loop {
        let head = match conversation.next().await {
            Ok(Some(Event::Head(head))) => head,
            Ok(_) => break,
            Err(_) => {
                // A stream that broke takes no answer either.
                let _told = conversation.write(Bytes::from_static(BAD_REQUEST)).await;
                break;
            }
        };
        let is_last = !head.keeps_alive();
        let asked = Rc::new(Asked {
            conversation: Rc::clone(&conversation),
            is_waiting: Cell::new(head.headers.contains_token("expect", "100-continue")),
            head,
            opening: opening.clone(),
            is_read: Cell::new(false),
            progress: RefCell::new(Progress::Unanswered),
            when_gone: RefCell::new(None),
        });
        let outcome = unless_torn(&conversation.stream, ask(&answer, &asked)).await;
        let is_whole = match outcome.filter(|_| !conversation.stream.is_torn()) {
            Some(outcome) => settle(&asked, outcome, &complain).await,
            None => {
                if let Some(callback) = asked.when_gone.take() {
                    // It only raises an alarm; what listens to that fails by itself.
                    let _raised = callback.call0(&JsValue::UNDEFINED);
                }
                return;
            }
        };
        if !is_whole || is_last || !asked.skip_body().await.unwrap_or(false) {
            break;
        }
    }
    // A stream that is torn already needs no end.
    let _over = conversation.stream.finish();
}

async fn ask(answer: &Function, asked: &Rc<Asked>) -> Result<(), JsValue> {
    let promise = answer.call1(&JsValue::UNDEFINED, &Exchange(Rc::clone(asked)).into())?;
    JsFuture::from(Promise::resolve(&promise)).await.map(drop)
}

/// Completes what the page left incomplete: a page of ours before the head, a torn stream after it. Whether another
/// request may follow.
async fn settle(asked: &Asked, outcome: Result<(), JsValue>, complain: &impl Fn(&JsValue)) -> bool {
    if let Err(error) = &outcome {
        complain(error);
    }
    let progress = mem::replace(&mut *asked.progress.borrow_mut(), Progress::Answered);
    match progress {
        Progress::Answered => true,
        Progress::Answering(_) => {
            // A plain end would look like the whole answer.
            asked.conversation.stream.reset();
            false
        }
        Progress::Unanswered => {
            let format = Format::preferred(asked.head.headers.first("accept"));
            let page = Page::service_failed().response(format, &asked.head.method);
            let _told = asked.conversation.write(page).await;
            false
        }
    }
}

/// What `work` came to, unless the visitor goes away before.
async fn unless_torn<T>(stream: &TunnelStream, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut torn) = (pin!(work), pin!(stream.torn()));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => torn.as_mut().poll(cx).map(|()| None),
    })
    .await
}
