//! The service as an agent or a daemon of launchd (launchd.plist(5)).

use super::Scope;
use super::definition::Definition;

/// What launchd calls the service.
pub(super) fn label(name: &str) -> String {
    format!("org.hvym.{name}")
}

/// The file of the log, which launchd does not keep itself.
pub(super) fn log(scope: Scope, name: &str) -> String {
    match scope {
        Scope::User => format!("{}/Library/Logs/{name}.log", std::env::var("HOME").unwrap_or_default()),
        Scope::System => format!("/Library/Logs/{name}.log"),
    }
}

/// The property list.
pub(super) fn property_list(definition: &Definition) -> String {
    let words = std::iter::once(definition.program.to_string_lossy().into_owned());
    let words: String = words
        .chain(definition.command.iter().cloned())
        .map(|word| format!("        <string>{}</string>\n", escaped(&word)))
        .collect();
    let log = escaped(&log(definition.scope, &definition.name));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <!-- Written by hvym-tunnel service install. -->\n\
         <plist version=\"1.0\">\n\
         <dict>\n    \
             <key>Label</key>\n    <string>{label}</string>\n    \
             <key>ProgramArguments</key>\n    <array>\n{words}    </array>\n    \
             <key>WorkingDirectory</key>\n    <string>{folder}</string>\n    \
             <key>RunAtLoad</key>\n    <true/>\n    \
             <key>KeepAlive</key>\n    <dict>\n        <key>SuccessfulExit</key>\n        <false/>\n    </dict>\n    \
             <key>ThrottleInterval</key>\n    <integer>5</integer>\n    \
             <key>ExitTimeOut</key>\n    <integer>30</integer>\n    \
             <key>Umask</key>\n    <integer>63</integer>\n    \
             <key>StandardOutPath</key>\n    <string>{log}</string>\n    \
             <key>StandardErrorPath</key>\n    <string>{log}</string>\n\
         </dict>\n\
         </plist>\n",
        label = escaped(&label(&definition.name)),
        folder = escaped(&definition.folder.to_string_lossy()),
    )
}

/// Text of an XML element.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
