//! The systems that programs are built for. Knows nothing of what builds them.

use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::runs;

/// What kind of system it is: it decides how files are called, packed and installed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum System {
    Linux,
    Windows,
}

/// A system and its processor.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    triple: &'static str,
    pub(super) system: System,
}

pub(super) const LINUX_X86: Target = Target { triple: "x86_64-unknown-linux-musl", system: System::Linux };
pub(super) const LINUX_ARM: Target = Target { triple: "aarch64-unknown-linux-musl", system: System::Linux };
pub(super) const WINDOWS_X86: Target = Target { triple: "x86_64-pc-windows-gnu", system: System::Windows };
/// Those of the machines on which this may run, for `--check`. Such a build is for nobody else.
const HOSTS: [Target; 2] = [
    Target { triple: "x86_64-unknown-linux-gnu", system: System::Linux },
    Target { triple: "aarch64-unknown-linux-gnu", system: System::Linux },
];

impl Target {
    /// All that people get.
    pub(super) const ALL: [Target; 3] = [LINUX_X86, LINUX_ARM, WINDOWS_X86];
    /// Those that are built unless others are named.
    pub(super) const DEFAULT: [Target; 2] = [LINUX_X86, LINUX_ARM];

    /// The target of this name.
    ///
    /// # Errors
    /// None is known.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|target| target.triple == text);
        known.with_context(|| {
            format!("{text} is not built: one of {}", Self::ALL.map(|target| target.triple).join(", "))
        })
    }

    /// This machine.
    ///
    /// # Errors
    /// It has no packages.
    pub(super) fn host() -> Result<Self> {
        let is_own = |target: &Target| cfg!(target_os = "linux") && target.is_own_processor();
        HOSTS.into_iter().find(is_own).context("packages are made on Linux")
    }

    /// Rust's name.
    pub(super) const fn triple(self) -> &'static str {
        self.triple
    }

    /// The first part of that name.
    pub(super) fn processor(self) -> &'static str {
        self.triple.split('-').next().unwrap_or_default()
    }

    /// Whether it is the processor of this machine.
    pub(super) fn is_own_processor(self) -> bool {
        self.processor() == std::env::consts::ARCH
    }

    /// Debian's name of the processor; none for another system.
    pub(super) fn debian_architecture(self) -> Option<&'static str> {
        match (self.system, self.processor()) {
            (System::Linux, "x86_64") => Some("amd64"),
            (System::Linux, "aarch64") => Some("arm64"),
            _ => None,
        }
    }

    /// What the program is called there.
    pub(super) const fn program(self) -> &'static str {
        match self.system {
            System::Windows => "hvym-tunnel.exe",
            System::Linux => "hvym-tunnel",
        }
    }

    /// How its archive is called after its name: what people there can unpack.
    pub(super) const fn archive_suffix(self) -> &'static str {
        match self.system {
            System::Windows => "zip",
            System::Linux => "tar.gz",
        }
    }

    /// What starts a program of that system here: nothing before it, or an emulator. `None` if there is no such thing.
    pub(super) fn runner(self) -> Option<Command> {
        let emulators: &[&str] = match self.system {
            System::Linux if cfg!(target_os = "linux") && self.is_own_processor() => {
                return Some(Command::new("env"));
            }
            System::Linux if self.processor() == "aarch64" => &["qemu-aarch64-static", "qemu-aarch64"],
            System::Windows => &["wine64", "wine"],
            System::Linux => &[],
        };
        emulators.iter().find(|name| runs(Command::new(name).arg("--version"))).map(Command::new)
    }
}
