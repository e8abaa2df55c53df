//! The service as a task of Windows' Task Scheduler (its schema, version 1.2).
//!
//! A service of Windows proper would have to speak with the service manager; a task starts any program, at the start of the system
//! or when its user logs in, and starts it again when it fails.

use super::Scope;
use super::definition::Definition;
use super::launchd::escaped;

/// The task.
pub(super) fn task(definition: &Definition) -> String {
    let (trigger, principal) = match definition.scope {
        Scope::User => ("LogonTrigger", "<LogonType>InteractiveToken</LogonType>"),
        Scope::System => ("BootTrigger", "<UserId>S-1-5-19</UserId>"),
    };
    let words: Vec<String> = definition.command.iter().map(|word| quoted(word)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!-- Written by hvym-tunnel service install. -->\n\
         <Task version=\"1.2\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">\n  \
           <RegistrationInfo>\n    <Description>{description}</Description>\n  </RegistrationInfo>\n  \
           <Triggers>\n    <{trigger}>\n      <Enabled>true</Enabled>\n    </{trigger}>\n  </Triggers>\n  \
           <Principals>\n    <Principal id=\"Author\">\n      {principal}\n      \
             <RunLevel>LeastPrivilege</RunLevel>\n    </Principal>\n  </Principals>\n  \
           <Settings>\n    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>\n    \
             <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>\n    \
             <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>\n    \
             <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>\n    \
             <RestartOnFailure>\n      <Interval>PT1M</Interval>\n      <Count>999</Count>\n    </RestartOnFailure>\n  \
           </Settings>\n  \
           <Actions Context=\"Author\">\n    <Exec>\n      <Command>{program}</Command>\n      \
             <Arguments>{arguments}</Arguments>\n      \
             <WorkingDirectory>{folder}</WorkingDirectory>\n    </Exec>\n  </Actions>\n\
         </Task>\n",
        description = escaped(&definition.description()),
        program = escaped(&definition.program.to_string_lossy()),
        arguments = escaped(&words.join(" ")),
        folder = escaped(&definition.folder.to_string_lossy()),
    )
}

/// A word as programs of Windows take their command line apart.
fn quoted(word: &str) -> String {
    if !word.is_empty() && !word.contains([' ', '\t', '"']) {
        return word.to_owned();
    }
    let mut out = String::from("\"");
    let mut backslashes = 0;
    for character in word.chars() {
        match character {
            '\\' => backslashes += 1,
            '"' => {
                out.push_str(&"\\".repeat(backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        out.push(character);
    }
    out.push_str(&"\\".repeat(backslashes));
    out.push('"');
    out
}
