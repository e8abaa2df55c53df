//! What the tools of three older systems ask a relay, over HTTP at its own name: the shapes they read, and to whom what is said.
#![cfg(unix)]

#[path = "e2e_surfaces/asking.rs"]
mod asking;
#[path = "e2e_surfaces/cloud.rs"]
mod cloud;
#[path = "e2e_surfaces/hvym.rs"]
mod hvym;
#[path = "e2e_surfaces/tunely.rs"]
mod tunely;
