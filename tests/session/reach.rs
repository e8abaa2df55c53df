//! Services that one identity reaches at another: who may, who says so, and what a stranger learns.

mod forged;
mod through;
mod verdict;
