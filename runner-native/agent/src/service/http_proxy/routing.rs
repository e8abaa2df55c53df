//! What becomes of a request: the filter refuses it, a folder answers it, or the service gets it.

use bytes::BytesMut;
use hvym_http1::{ForwardedBlock, ForwardedFields, HostMapping, RequestRewrite, RequestView};

use super::Step;
use super::local_answer::LocalAnswer;
use crate::service::access_filter::Admitted;
use crate::service::error_page::Audience;
use crate::service::{LocalService, Source};

/// What becomes of a request.
pub(super) struct Routed<'a> {
    pub(super) step: Step<'a>,
    pub(super) mapping: Option<HostMapping>,
    pub(super) audience: Audience,
}

/// Whether a request passes the filter, and who answers it.
pub(super) fn route<'a>(
    service: &'a LocalService,
    is_caller: bool,
    request: &RequestView<'_>,
    heads: &mut BytesMut,
) -> Routed<'a> {
    let (accept, from) = (request.fields().first("accept"), request.fields().first("x-forwarded-for"));
    let audience = Audience::new(request.method(), accept, from.filter(|_| !is_caller));
    let format = audience.format;
    let admitted = match service.filter.admit(request, is_caller, format) {
        Ok(admitted) => admitted,
        Err(refusal) => return Routed { step: Step::Refuse(refusal), mapping: None, audience },
    };
    let (step, mapping) = match &service.source {
        Source::Folder(folder) => (Step::Local(LocalAnswer::of_folder(folder, request, format)), None),
        Source::Upstream(_) => {
            let mapping = service.filter.mapping(request);
            let nothing = ForwardedBlock::empty();
            let rewrite = RequestRewrite {
                // Of a caller, an identity, nobody vouches for any address.
                forwarded: if is_caller { ForwardedFields::Replace(&nothing) } else { ForwardedFields::Keep },
                keeps_client_address: !is_caller,
                host: mapping.as_ref(),
                remove: service.filter.removed(),
            };
            request.write_forwarded(&rewrite, heads);
            (Step::Forward(heads.split().freeze()), mapping)
        }
    };
    let step = match admitted {
        Admitted::Now => step,
        Admitted::After(verification) => Step::Verify(verification, Box::new(step)),
    };
    Routed { step, mapping, audience }
}
