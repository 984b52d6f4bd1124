//! Gets the target from Cargo.
//! Gives the shared library its soname, and keeps it loaded: its threads run code of it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liblivereel.so.0");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
