//! Link settings of the shared library that cargo has no names for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // The number is `elk_abi_version`: only a change that breaks programs moves it.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libelkapi.so.0");
        // Threads and thread-local destructors may outlive a dlclose; the code must stay mapped.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
