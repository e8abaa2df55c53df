//! What the API does with the settings file.

use std::sync::Arc;

use http::header::{CONTENT_DISPOSITION, HOST, HeaderMap, ORIGIN};
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::{Map, Value};

use super::ApiState;
use super::answer::{self, Answer};
use super::content::{read_required, read_required_up_to};
use super::query::parameter_of;
use super::routes::Operation;
use crate::settings_store::{
    SettingsBackupReport, SettingsImport, SettingsMistakesReport, SettingsRefusal, SettingsStore,
};
use crate::timestamp;

/// The largest content: a settings file of 1 MiB as a string of JSON, in which line ends and quotes take two bytes.
const MAX_SETTINGS_BYTES: usize = 2 * 1024 * 1024;

/// Does what a request asks for. Settings name programs that are run, so that no page of another origin changes or sees them, not
/// even one that is let in and has the token.
pub(super) async fn run(state: &Arc<ApiState>, operation: Operation, request: Request<Incoming>) -> Answer {
    if !is_own(request.headers()) {
        return answer::error(
            StatusCode::FORBIDDEN,
            "Only the page of this API changes or shows the settings",
        );
    }
    let Some(store) = state.hooks.settings.clone() else {
        return answer::error(
            StatusCode::CONFLICT,
            "This manager runs by its command line, without a settings file",
        );
    };
    match operation {
        Operation::SettingsSchema => answer::json(StatusCode::OK, &store.schema()),
        Operation::ChangeSettings => {
            match read_required_up_to::<Map<String, Value>>(request, MAX_SETTINGS_BYTES).await {
                Ok(changes) => shown(blocking(store, move |store| store.change(&changes)).await),
                Err(refusal) => refusal,
            }
        }
        Operation::ImportSettings => {
            match read_required_up_to::<SettingsImport>(request, MAX_SETTINGS_BYTES).await {
                Ok(SettingsImport { text }) => shown(blocking(store, move |store| store.import(&text)).await),
                Err(refusal) => refusal,
            }
        }
        Operation::ResetSettings => match read_required::<ResetSettings>(request).await {
            Ok(ResetSettings { confirm: true }) => shown(blocking(store, |store| store.reset()).await),
            Ok(_) => answer::error(StatusCode::BAD_REQUEST, "confirm: true is needed"),
            Err(refusal) => refusal,
        },
        Operation::BackUpSettings => back_up(store).await,
        Operation::ExportSettings => export(store, request.uri().query()).await,
        _ => shown(blocking(store, |store| store.read()).await),
    }
}

/// `POST /api/v1/settings/reset`
#[derive(Copy, Clone, PartialEq, Eq, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetSettings {
    /// A person was asked.
    #[schemars(extend("const" = true))]
    confirm: bool,
}

async fn back_up(store: Arc<dyn SettingsStore>) -> Answer {
    match blocking(store, |store| store.back_up()).await {
        Ok(Some(path)) => answer::json(StatusCode::OK, &SettingsBackupReport { path }),
        Ok(None) => answer::error(StatusCode::NOT_FOUND, "There is no settings file yet"),
        Err(refusal) => refused(refusal),
    }
}

async fn export(store: Arc<dyn SettingsStore>, query: Option<&str>) -> Answer {
    let with_secrets = match parameter_of(query, "with_secrets") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return answer::error(StatusCode::BAD_REQUEST, "with_secrets: true or false"),
    };
    match blocking(store, move |store| store.export(with_secrets)).await {
        Ok(text) => {
            let mut answer = answer::content(StatusCode::OK, "application/toml", text);
            let disposition = HeaderValue::from_static("attachment; filename=\"config.toml\"");
            answer.headers_mut().insert(CONTENT_DISPOSITION, disposition);
            answer
        }
        Err(refusal) => refused(refusal),
    }
}

/// On a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(
    store: Arc<dyn SettingsStore>,
    work: impl FnOnce(&dyn SettingsStore) -> Result<T, SettingsRefusal> + Send + 'static,
) -> Result<T, SettingsRefusal> {
    smol::unblock(move || work(store.as_ref())).await
}

fn shown<T: Serialize>(outcome: Result<T, SettingsRefusal>) -> Answer {
    match outcome {
        Ok(report) => answer::json(StatusCode::OK, &report),
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: SettingsRefusal) -> Answer {
    let mistakes = match refusal {
        SettingsRefusal::Failed(message) => return answer::internal_error(message),
        SettingsRefusal::Mistakes(mistakes) => mistakes,
    };
    let error = match mistakes.len() {
        1 => "One thing is wrong with the settings".to_owned(),
        count => format!("{count} things are wrong with the settings"),
    };
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let report =
        SettingsMistakesReport { error, status_code: status.as_u16(), mistakes, timestamp: timestamp::now() };
    answer::json(status, &report)
}

/// Whether a request comes from no page, or from one of this API itself, whose host name was checked.
fn is_own(fields: &HeaderMap) -> bool {
    let Some(origin) = fields.get(ORIGIN) else { return true };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    authority.is_some() && authority == fields.get(HOST).and_then(|host| host.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_and_the_own_page_come_near_the_settings() {
        let of = |origin: Option<&str>| {
            let mut fields = HeaderMap::new();
            fields.insert(HOST, HeaderValue::from_static("localhost:8765"));
            if let Some(origin) = origin {
                fields.insert(ORIGIN, HeaderValue::from_str(origin).expect("a value"));
            }
            is_own(&fields)
        };
        assert!(of(None) && of(Some("http://localhost:8765")) && of(Some("https://localhost:8765")));
        for origin in [
            "null",
            "http://localhost:3000",
            "https://app.cloudtolocalllm.online",
            "http://127.0.0.1:8765",
            "",
        ] {
            assert!(!of(Some(origin)), "{origin}");
        }
    }
}
