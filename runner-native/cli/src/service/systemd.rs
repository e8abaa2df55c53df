//! The service as a unit of systemd (systemd.service(5), systemd.exec(5)).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Scope;
use super::definition::Definition;

/// What holds whoever starts it: the program needs its own folder, the network, and nothing else.
const CONFINED: &str = "\
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp={PRIVATE_TMP}
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
";

/// The folders that `PrivateTmp=` is about.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// What only the system's own manager can do.
const CONFINED_BY_ROOT: &str = "\
DynamicUser=yes
ProtectHome=read-only
PrivateDevices=yes
PrivateUsers={PRIVATE_USERS}
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=yes
DevicePolicy=closed
";

/// The unit.
pub(super) fn unit(definition: &Definition) -> String {
    let mut unit = format!(
        "# Written by hvym-tunnel service install.\n\
         [Unit]\n\
         Description={}\n",
        definition.description()
    );
    if definition.scope == Scope::System {
        unit.push_str("Wants=network-online.target\nAfter=network-online.target\n");
    }
    unit.push_str("\n[Service]\nType=notify\nExecStart=");
    unit.push_str(&quoted(&definition.program.to_string_lossy()));
    for word in &definition.command {
        unit.push(' ');
        unit.push_str(&quoted(word));
    }
    unit.push('\n');
    if definition.reloads() {
        // By the shell, which is there where no program kill is.
        unit.push_str("ExecReload=/bin/sh -c \"kill -HUP $MAINPID\"\n");
    }
    put(&mut unit, format_args!("WorkingDirectory=-{}\n", path(&definition.folder)));
    // 2 and 3: the command line or the settings are wrong, and stay so.
    unit.push_str(
        "WatchdogSec=30\nRestart=on-failure\nRestartSec=5\nRestartPreventExitStatus=2 3\nTimeoutStopSec=30\n\
         LimitNOFILE=524288\n\n",
    );
    // What is written into a folder for temporary files of its own, nobody else finds.
    let is_temporary = |folder: &PathBuf| TEMPORARY.iter().any(|temporary| folder.starts_with(temporary));
    let private_tmp = if definition.writable.iter().any(is_temporary) { "no" } else { "yes" };
    unit.push_str(&CONFINED.replace("{PRIVATE_TMP}", private_tmp));
    match definition.scope {
        Scope::User => user(definition, &mut unit),
        Scope::System => system(definition, &mut unit),
    }
    let target = match definition.scope {
        Scope::User => "default.target",
        Scope::System => "multi-user.target",
    };
    put(&mut unit, format_args!("\n[Install]\nWantedBy={target}\n"));
    unit
}

/// The part of a user's service: the folders that it may write, and the one of the socket of the API, which several services share.
fn user(definition: &Definition, unit: &mut String) {
    let folders: Vec<String> = definition.writable.iter().map(|folder| path(folder)).collect();
    put(
        unit,
        format_args!(
            "ProtectHome=read-only\nReadWritePaths={}\nRuntimeDirectory=hvym-tunnel\nRuntimeDirectoryMode=0700\n\
             RuntimeDirectoryPreserve=yes\n",
            folders.join(" ")
        ),
    );
}

/// The part of the system's service: a user that exists while it runs, and a folder that stays.
fn system(definition: &Definition, unit: &mut String) {
    // A capability over ports is one of the host's, which users of a namespace of their own do not have.
    let private_users = if definition.is_relay() { "no" } else { "yes" };
    unit.push_str(&CONFINED_BY_ROOT.replace("{PRIVATE_USERS}", private_users));
    let capability = if definition.is_relay() { "CAP_NET_BIND_SERVICE" } else { "" };
    put(
        unit,
        format_args!(
            "CapabilityBoundingSet={capability}\nAmbientCapabilities={capability}\n\
             StateDirectory={name}\nStateDirectoryMode=0700\nEnvironment=XDG_CONFIG_HOME=%S/{name} XDG_STATE_HOME=%S/{name}\n",
            name = definition.name
        ),
    );
}

/// A word of a command line, in which nothing is replaced.
fn quoted(word: &str) -> String {
    let mut out = String::from("\"");
    for character in word.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '%' | '$' => out.extend([character, character]),
            '\n' => out.push_str("\\n"),
            character => out.push(character),
        }
    }
    out.push('"');
    out
}

/// A path as the value of a setting.
fn path(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%%").replace(' ', "\\x20")
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes every write");
}
