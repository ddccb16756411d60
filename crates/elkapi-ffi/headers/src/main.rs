//! Writes `include/elkapi.h` and `include/elkapi.ffi.h`, and the lists of what is in them for readers
//! and for Debian; with `--verify` tells which is stale.
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
    let header = for_programs(&root, config.clone())?;
    let functions = functions(&header)?;
    for (name, text) in [
        ("docs/symbols.md", for_readers(&header, &functions)),
        ("packaging/debian/libelkapi0.symbols", for_debian(&functions)),
        ("include/elkapi.h", header),
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

/// Each function's name and the version that brought it, in the header's order.
fn functions(header: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    // What follows the end of a comment up to the semicolon is the declaration it describes.
    for described in header.split("/**").skip(1) {
        let (comment, code) = described.split_once("*/").unwrap_or((described, ""));
        let declaration = code.split(';').next().unwrap_or_default();
        let Some(name) = declaration.split('(').next().filter(|_| declaration.contains('(')) else {
            continue;
        };
        let name = name.rsplit([' ', '*']).next().unwrap_or_default().to_owned();
        let since = comment.split("Since: ").nth(1).and_then(|rest| rest.split_whitespace().next());
        found.push((name.clone(), since.ok_or(format!("{name} has no line `Since:`"))?.to_owned()));
    }
    Ok(found)
}

/// `docs/symbols.md`.
fn for_readers(header: &str, functions: &[(String, String)]) -> String {
    let mut text = String::from(
        "# Symbols\n\n\
         Every function of the C library and every number of its header, with the version that brought it. Nothing\n\
         leaves this list and no number changes as long as the library is called `libelkapi.so.0`; [abi.md](abi.md)\n\
         is the promise. Written by `make headers` from the lines `Since:` of the header; the tests compare it with\n\
         what the shared library exports.\n\n\
         | function | since |\n|---|---|\n",
    );
    for (name, since) in functions {
        let _ = writeln!(text, "| `{name}` | {since} |");
    }
    text.push_str("\n| number | value |\n|---|---|\n");
    for (name, number) in
        header.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(" = "))
    {
        if name.starts_with("ELK_") {
            let _ = writeln!(text, "| `{name}` | {number} |");
        }
    }
    text
}

/// What `dpkg-shlibdeps` reads: the oldest package that has all that a program uses.
fn for_debian(functions: &[(String, String)]) -> String {
    let mut text =
        String::from("libelkapi.so.0 libelkapi0 #MINVER#\n* Build-Depends-Package: libelkapi-dev\n");
    let mut sorted: Vec<_> = functions.iter().collect();
    sorted.sort();
    for (name, since) in sorted {
        let _ = writeln!(text, " {name}@Base {since}");
    }
    text
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
         /* A stream has ended well; a queue has nothing left. */\n    ELK_DONE = 1,\n    \
         /* Nothing came in the time that the caller wanted to wait; nothing is lost. */\n    ELK_PENDING = 2,\n    \
         /* A queue hands out a chunk of a stream. */\n    ELK_CHUNK = 3,\n    \
         /* For elk_client_on_record: no attempts, those that failed, all. */\n    \
         ELK_RECORD_NONE = 0,\n    ELK_RECORD_FAILURES = 1,\n    ELK_RECORD_ALL = 2,\n",
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
