//! Writes `include/elkapi.h` and `include/elkapi.ffi.h`, or with `--verify` tells which is stale.
//!
//! Functions and their comments come from `elkapi-ffi`, the status numbers from the core's table
//! of kinds, everything else from `cbindgen.toml`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use cbindgen::{Builder, Config, Language};
use elkapi::Kind;

fn main() -> ExitCode {
    let verify = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [option] if option == "--verify" => true,
        _ => {
            eprintln!("usage: elkapi-headers [--verify]");
            return ExitCode::from(2);
        }
    };
    match run(verify) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(verify: bool) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let config = Config::from_file(root.join("cbindgen.toml"))?;
    let mut stale = Vec::new();
    for (name, text) in [
        ("include/elkapi.h", for_programs(&root, config.clone())?),
        ("include/elkapi.ffi.h", for_parsers(&root, config)?),
    ] {
        let path = root.join(name);
        if fs::read_to_string(&path).is_ok_and(|present| present == text) {
            continue;
        }
        if verify {
            stale.push(format!("{name} is stale: run `make headers`"));
        } else {
            fs::write(&path, text).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    if stale.is_empty() { Ok(()) } else { Err(stale.join("\n")) }
}

/// `elkapi.h`: for C and C++ compilers.
fn for_programs(root: &Path, mut config: Config) -> Result<String, String> {
    let macros = config.after_includes.take().unwrap_or_default();
    config.after_includes = Some(format!("{macros}\n{}", statuses(&[])));
    let text = generated(root, config)?;
    Ok(without_double_blank_lines(text))
}

/// `elkapi.ffi.h`: for FFI libraries that parse C themselves and have no preprocessor.
fn for_parsers(root: &Path, mut config: Config) -> Result<String, String> {
    config.language = Language::C;
    config.header = None;
    config.include_guard = None;
    config.sys_includes.clear();
    config.after_includes = None;
    config.cpp_compat = false;
    config.documentation = false;
    config.function.prefix = None;
    config.function.must_use = None;
    let declarations = without_double_blank_lines(generated(root, config)?);
    let numbers = statuses(&[("ELK_NUL", -1), ("ELK_ABI_VERSION", 0)]);
    Ok(format!(
        "/* elkapi.h without preprocessor lines, for FFI libraries (cffi, LuaJIT, PHP).\n \
         * Comments are in elkapi.h. Written by `make headers`; do not edit. */\n\n{numbers}\n{}\n",
        declarations.trim()
    ))
}

fn without_double_blank_lines(mut text: String) -> String {
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    text
}

fn generated(root: &Path, config: Config) -> Result<String, String> {
    let library: PathBuf = root.join("crates/elkapi-ffi");
    let bindings = Builder::new()
        .with_crate(library)
        .with_config(config)
        .generate()
        .map_err(|error| format!("cbindgen: {error}"))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).map_err(|error| error.to_string())
}

/// The numbers as enumerators: macros are lost on FFI parsers. Signatures say `elk_status`, so the
/// size of an enumeration is in no interface.
fn statuses(more: &[(&str, i32)]) -> String {
    let mut text = String::from(
        "enum {\n    /* It worked. */\n    ELK_OK = 0,\n    \
         /* A stream has ended well. */\n    ELK_DONE = 1,\n    \
         /* Nothing came in the time that the caller wanted to wait; nothing is lost. */\n    ELK_PENDING = 2,\n",
    );
    for (name, number) in more {
        let _ = writeln!(text, "    {name} = {number},");
    }
    for kind in Kind::ALL {
        let name = kind.name().to_uppercase();
        let _ = writeln!(text, "    /* {} */\n    ELK_E_{name} = {},", kind.meaning(), kind.number());
    }
    // Not every parser takes a comma before the brace.
    let end = text.rfind(',').unwrap_or(text.len());
    text.replace_range(end.., "\n};\n");
    text
}
