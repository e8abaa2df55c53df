//! Tells the linkers of some systems that the symbols of Node.js come with the program that loads the module.

fn main() {
    napi_build::setup();
}
