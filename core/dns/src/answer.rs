//! Answers a query about a zone.

use alloc::vec::Vec;

use crate::query::{Edns, HEADER_BYTES, Header, OPT, Query, QueryError, Question, ResponseCode};
use crate::record::{ANY, AXFR, IN, IXFR, MAILA, MAILB, Record};
use crate::zone::{Lookup, Zone};

/// What every resolver takes over UDP (RFC 1035 section 2.3.4).
pub const MIN_UDP_BYTES: usize = 512;
/// The longest answer, however much a resolver takes: it is never fragmented, and whoever forges the sender of a query
/// gains little (DNS Flag Day 2020).
pub const MAX_UDP_BYTES: usize = 1232;

/// Where every question begins.
const QUESTION_AT: u16 = HEADER_BYTES as u16;

/// How a query came.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Transport {
    /// In one datagram; an answer that is too long says so.
    Udp,
    /// Over a connection.
    Tcp,
}

/// The answer to `message`; `None` if it deserves none.
pub fn answer(zone: &Zone, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let query = match Query::read(message) {
        Ok(query) => query,
        Err(QueryError::Unanswerable) => return None,
        Err(QueryError::Failed(header, code)) => {
            return Some(Answer::empty(code).write(header, None, None, 0));
        }
    };
    let Query { header, question, edns } = query;
    let answer = match edns {
        Some(Edns { version: 1.., .. }) => Answer::empty(ResponseCode::BadVersion),
        _ => Answer::about(zone, &question),
    };
    // The apex is the end of each name of the zone.
    let apex = question.name.wire_length().saturating_sub(zone.apex().wire_length());
    let apex = QUESTION_AT + u16::try_from(apex).unwrap_or(0);
    let whole = answer.write(header, Some(&question), edns, apex);
    let limit = match (transport, edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => MIN_UDP_BYTES,
        (Transport::Udp, Some(edns)) => usize::from(edns.udp_bytes).clamp(MIN_UDP_BYTES, MAX_UDP_BYTES),
    };
    if whole.len() <= limit {
        return Some(whole);
    }
    let cut = Answer { is_truncated: true, is_authoritative: true, ..Answer::empty(ResponseCode::NoError) };
    Some(cut.write(header, Some(&question), edns, apex))
}

struct Answer<'a> {
    code: ResponseCode,
    is_authoritative: bool,
    is_truncated: bool,
    records: Vec<Record<'a>>,
    /// The zone's SOA record, by which resolvers remember that there is nothing (RFC 2308 section 3).
    authority: Option<Record<'a>>,
}

impl<'a> Answer<'a> {
    fn empty(code: ResponseCode) -> Self {
        Self { code, is_authoritative: false, is_truncated: false, records: Vec::new(), authority: None }
    }

    fn about(zone: &'a Zone, question: &Question<'_>) -> Self {
        let refused = || Self::empty(ResponseCode::Refused);
        // Transfers of the zone, and the obsolete questions about mail.
        if question.class != IN || matches!(question.kind, IXFR | AXFR | MAILB | MAILA) {
            return refused();
        }
        let found = |code, records, authority| Self {
            code,
            is_authoritative: true,
            is_truncated: false,
            records,
            authority,
        };
        match zone.lookup(&question.name, question.kind) {
            Lookup::Outside => refused(),
            Lookup::Records(records) => found(ResponseCode::NoError, records, None),
            Lookup::NoSuchName => found(ResponseCode::NoSuchName, Vec::new(), Some(zone.authority())),
            Lookup::NoData if question.kind == ANY => {
                found(ResponseCode::NoError, [Record::Minimal].into(), None)
            }
            Lookup::NoData => found(ResponseCode::NoError, Vec::new(), Some(zone.authority())),
        }
    }

    fn write(
        &self,
        header: Header,
        question: Option<&Question<'_>>,
        edns: Option<Edns>,
        apex: u16,
    ) -> Vec<u8> {
        let code = self.code as u16;
        let flags = 1 << 15
            | u16::from(header.opcode) << 11
            | u16::from(self.is_authoritative) << 10
            | u16::from(self.is_truncated) << 9
            | u16::from(header.recursion_desired) << 8
            | code & 0xf;
        let counts = [
            usize::from(question.is_some()),
            self.records.len(),
            usize::from(self.authority.is_some()),
            usize::from(edns.is_some()),
        ];
        let mut out = Vec::with_capacity(MIN_UDP_BYTES);
        out.extend([header.id, flags].into_iter().flat_map(u16::to_be_bytes));
        out.extend(counts.into_iter().flat_map(|count| (count as u16).to_be_bytes()));
        if let Some(question) = question {
            out.extend(question.wire);
        }
        self.records.iter().for_each(|record| record.write(QUESTION_AT, apex, &mut out));
        if let Some(authority) = &self.authority {
            authority.write(apex, apex, &mut out);
        }
        if let Some(edns) = edns {
            write_edns(code, edns, &mut out);
        }
        out
    }
}

/// EDNS's record of an answer (RFC 6891 section 6.1): the root's name, and our own size and version.
fn write_edns(code: u16, asked: Edns, out: &mut Vec<u8>) {
    out.push(0);
    out.extend(OPT.to_be_bytes());
    out.extend((MAX_UDP_BYTES as u16).to_be_bytes());
    out.extend([(code >> 4) as u8, 0, u8::from(asked.dnssec_ok) << 7, 0, 0, 0]);
}
