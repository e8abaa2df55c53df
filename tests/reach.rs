//! Services that one identity reaches at another: who may, who says so, and what a stranger learns.

#[path = "reach/forged.rs"]
mod forged;
#[path = "reach/through.rs"]
mod through;
#[path = "reach/verdict.rs"]
mod verdict;
