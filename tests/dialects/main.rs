//! The wire languages of older systems, against recorded conversations.

mod cloud;
mod hvym;
mod tunely;
