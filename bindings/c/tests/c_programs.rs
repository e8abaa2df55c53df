//! Programs in C against the library as it is built, with the sanitizers of addresses and leaks.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::Program;

/// What no line of C may give cause for.
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
/// Of Rust's library, for those who link it as a whole.
const SYSTEM_LIBRARIES: [&str; 5] = ["-lgcc_s", "-lpthread", "-ldl", "-lm", "-lc"];

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo put the library for these tests.
fn libraries() -> PathBuf {
    let own = std::env::current_exe().expect("a program has a path");
    own.parent().expect("it is in a folder").to_owned()
}

/// A program about to be written, removed at the end.
struct Built(PathBuf);

impl Drop for Built {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// Compiles `source` with these arguments; `None` after the absence of a compiler was said.
fn compiled(source: &str, arguments: &[&str]) -> Option<Built> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let program = std::env::temp_dir().join(format!("hvym-tunnel-c-{}-{number}", std::process::id()));
    let mut compiler = Command::new(required_tool("cc")?);
    compiler.args(["-std=c99", "-D_GNU_SOURCE", "-g"]).args(WARNINGS).arg("-I").arg(folder().join("include"));
    compiler.arg(folder().join(source)).args(arguments).arg("-o").arg(&program);
    succeeds(compiler);
    Some(Built(program))
}

/// The same, linked to the shared library.
fn linked(source: &str, sanitize: bool) -> Option<Built> {
    let libraries = libraries();
    let (folder, path) =
        (format!("-L{}", libraries.display()), format!("-Wl,-rpath,{}", libraries.display()));
    let sanitizers = ["-fsanitize=address", "-fno-omit-frame-pointer"];
    let mut arguments: Vec<&str> = if sanitize { sanitizers.to_vec() } else { Vec::new() };
    arguments.extend([folder.as_str(), "-lhvym_tunnel", path.as_str(), "-lpthread", "-lm"]);
    compiled(source, &arguments)
}

fn succeeds(mut command: Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    output
}

/// Runs a test program, which ends itself if it hangs.
fn passes(source: &str) {
    let Some(program) = linked(source, true) else { return };
    let mut command = Command::new(&program.0);
    command.env("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=0");
    succeeds(command);
}

#[test]
fn a_relay_and_an_agent_of_one_program_are_visited_changed_and_drained() {
    passes("tests/c/tunnel.c");
}

#[test]
fn a_callback_gets_each_event_and_the_end_and_nothing_after_it() {
    passes("tests/c/callbacks.c");
}

#[test]
fn what_a_caller_does_wrong_is_an_error_with_a_code_and_a_text() {
    passes("tests/c/misuse.c");
}

#[test]
fn a_hundred_starts_and_stops_leave_nothing_behind() {
    passes("tests/c/cycles.c");
}

#[test]
fn the_header_is_one_for_c_and_for_cpp() {
    let Some(compiler) = required_tool("c++") else { return };
    let mut check = Command::new(compiler);
    let include = folder().join("include");
    check
        .args(["-std=c++11", "-fsyntax-only", "-x", "c++"])
        .args(WARNINGS)
        .arg(include.join("hvym_tunnel.h"));
    // A header that is compiled by itself is a main file, for which the pragma means nothing.
    succeeds(check);
}

#[test]
fn the_static_library_is_whole() {
    let library = libraries().join("libhvym_tunnel.a").display().to_string();
    let mut arguments = vec![library.as_str()];
    arguments.extend(SYSTEM_LIBRARIES);
    let Some(program) = compiled("examples/expose.c", &arguments) else { return };
    let output = Command::new(&program.0).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "it says how it is used");
}

#[test]
fn the_example_says_where_its_service_is() {
    use hvym_tunnel_net::key::Identity;
    use hvym_tunnel_net::runtime::Runtime;
    use hvym_tunnel_relay::Relay;

    let Some(program) = linked("examples/expose.c", false) else { return };
    let runtime = Runtime::new().expect("threads");
    let identity = Identity::generate().expect("randomness");
    let listen = "127.0.0.1:0".parse().expect("an address");
    let relay = Relay::builder(identity).listen(listen).start(runtime.handle()).expect("a free port");
    let mut command = Command::new(&program.0);
    command.args([relay.urls().1.as_str(), "3000"]);
    let mut example = Program::start(command);
    let url = example.line();
    assert!(url.starts_with("http://") && url.contains(".localhost:"), "{url}");
    example.kill();
    relay.stop();
    runtime.block_on(relay.closed());
}
