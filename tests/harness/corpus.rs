//! The seeds of the fuzz corpus: those of the multiplexer, and one for each way that owners and peers use a dialect.

use hvym_tunnel_core::rng::Rng;
use hvym_yamux_testing::corpus::Seed;

use crate::talk::SEPARATOR;

/// Every seed.
pub fn seeds() -> Vec<Seed> {
    let mut all = hvym_yamux_testing::corpus::seeds();
    all.extend(talks());
    all.extend(walks());
    all.extend(inputs());
    all.extend(crate::delegation::seeds());
    all.extend(crate::formats::seeds());
    all.extend(crate::websocket::seeds());
    all.extend(crate::dns::seeds());
    all.extend(crate::forwarded::seeds());
    all
}

/// Steps of [`talk`](crate::talk): what owners do, and messages of each dialect as they are and nearly so.
fn talks() -> Vec<Seed> {
    let round =
        "vGET /a?b HTTP/1.1\r\nHost: x\r\n\r\n|p|r|wHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi|p|r|F";
    let events = "vGET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n|p|r|wHTTP/1.1 200 OK\r\n\
                  Content-Type: text/event-stream\r\n\r\ndata: 1\n\n|p|r|wdata: \u{2603}\n\n|p|r|f|p|r";
    let odd = "vPOST /..%2f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
               3\r\nabc\r\n|r|+0\r\n\r\n|p|x|p|r|v\u{16}|r|vGET @x HTTP/1.1\r\n\r\n|r|X|t\u{7f}|p|r";
    let hvym = [
        r#"m{"type":"tunnel_request","stream_id":1,"request":{"method":"GET","path":"/a/../b c","query_string":"x=1","headers":{"a":"b"},"body":"c"}}|r|p"#,
        r#"vGET / HTTP/1.1|+\r\n\r\n|m{"type":"tunnel_response","stream_id":1,"response":{"status_code":200,"headers":{"set-cookie":"a=1, b=2"},"body":"\ud800"}}|r"#,
        r#"m{"type":"enable_encryption"}|m{"type":"tunnel_response_encrypted","encrypted":true,"payload":"AAAA"}|m{"type":"stream_close","stream_id":1}"#,
    ];
    let tunely = [
        r#"m{"type":"request","id":"a","method":"GET","path":"/x","headers":{"accept":"text/event-stream"},"body":"\"q\"","timeout":5}|r|p"#,
        r#"m{"type":"tcp_connect","conn_id":"00010203-0405-4607-8809-0a0b0c0d0e0f"}|m{"type":"tcp_data","conn_id":"00010203-0405-4607-8809-0a0b0c0d0e0f","data":"QUJD"}|r|wback|f|p|m{"type":"tcp_close","conn_id":"00010203-0405-4607-8809-0a0b0c0d0e0f","error":null}|r"#,
        r#"m{"type":"auth","token":"t","force":"yes"}|m{"type":"auth_ok","domain":"a","tunnel_id":"1"}|m{"type":"stream_chunk","id":"a","data":"!","encoding":"base64"}"#,
        "b\u{2}\u{1}\0\u{1}\u{2}\u{3}\u{4}\u{5}F\u{7}x\u{9}\n\u{b}\u{c}\r\u{e}\u{f}hello|b\u{2}",
    ];
    let cloud = [
        r#"m{"type":"http_request","id":"a","method":"POST","path":"/api/chat","headers":{},"body":"{}"}|r|p|wHTTP/1.1 500 No|f|p"#,
        r#"m{"type":"ping","id":"x","timestamp":"now"}|p|m{"type":"pong","id":"00000000-0000-4000-8000-000000000001"}|m{"type":"error","id":"a","error":"b","code":504}"#,
    ];
    let mut all = Vec::new();
    let sets = [("f8_hvym", &hvym[..]), ("f9_tunely", &tunely[..]), ("f10_cloud", &cloud[..])];
    for (target, own) in sets {
        for (name, steps) in [("round", round), ("events", events), ("odd", odd)] {
            for variant in 0..3 {
                all.push((target, format!("{name}_{variant}"), script(variant, steps)));
            }
        }
        for (steps, n) in own.iter().zip(0u8..) {
            all.push((target, format!("own_{n}"), script(n % 3, steps)));
        }
    }
    all
}

/// Random walks: each act is one that can happen, so that any bytes are a good start.
fn walks() -> Vec<Seed> {
    let walk = |number: u8| {
        let data: [u8; 121] = Rng::new([number; 32]).bytes();
        ("f11_world", format!("walk_{number}"), data.to_vec())
    };
    (0..12).map(walk).collect()
}

/// Random acts for either end.
fn inputs() -> Vec<Seed> {
    let input = |number: u8| {
        let mut data: [u8; 485] = Rng::new([number; 32]).bytes();
        (data[0], data[1]) = (number, number / 2);
        ("f12_any_input", format!("run_{number}"), data.to_vec())
    };
    (0..96).map(input).collect()
}

/// A script whose steps are separated by bars.
fn script(variant: u8, steps: &str) -> Vec<u8> {
    let steps = steps.replace("\\r\\n", "\r\n");
    let steps = steps.split('|').collect::<Vec<_>>().join(&String::from(char::from(SEPARATOR)));
    [vec![variant], steps.into_bytes()].concat()
}
