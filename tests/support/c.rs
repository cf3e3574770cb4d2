//! Compiling C programs against the built library.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{cdylib, cdylib_with_hooks, on_path, root, run, scratch, skip};

const STRICT: &[&str] = &["-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread", "-g"];
const LIMIT: Duration = Duration::from_secs(120);

/// A name that nobody else uses. What is made under it is moved to its place in one step, since tests, and other test programs, run at the same time.
fn aside(folder: &Path, name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let path = folder.join(format!("{name}.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let _ = std::fs::remove_file(&path);
    path
}

/// A folder to link with: the library under the names that the linker and the loader look for.
fn link_folder(library: &Path, name: &str) -> PathBuf {
    let folder = scratch(&format!("c-{name}-{}", if cfg!(debug_assertions) { "debug" } else { "release" }));
    for file in [
        "libdefender_xdr.so",
        "libdefender_xdr.so.1",
        "libdefender_xdr.dylib",
        "libdefender_xdr.1.dylib",
    ] {
        let link = aside(&folder, file);
        symlink(library, &link).unwrap();
        std::fs::rename(&link, folder.join(file)).unwrap();
    }
    folder
}

/// A folder to link with, with the library in it.
pub fn plain() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| link_folder(cdylib(), "plain"))
}

/// The same with the library that has hooks for tests.
pub fn hooked() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| link_folder(cdylib_with_hooks(), "hooks"))
}

/// The compiler that an environment variable names, else the usual one, if there is one.
pub fn compiler(variable: &str, default: &str) -> Option<PathBuf> {
    let name = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    on_path(&name).or_else(|| Some(PathBuf::from(name)).filter(|path| path.is_absolute()))
}

/// Compiles a program without a warning.
pub fn compile(compiler: &Path, standard: &str, source: &Path, link: &Path) -> PathBuf {
    // tests/c/incidents.c and examples/c/incidents.c are two programs.
    let place = source.strip_prefix(root()).unwrap().with_extension("");
    let name = format!("{}{standard}", place.to_string_lossy().replace('/', "-"));
    let program = aside(link, &name);
    let mut command = Command::new(compiler);
    command
        .arg(standard)
        .args(STRICT)
        .arg(format!("-DPACKAGE_VERSION=\"{}\"", env!("CARGO_PKG_VERSION")));
    command
        .arg("-I")
        .arg(root().join("include"))
        .arg("-I")
        .arg(root().join("tests/c"))
        .arg(source)
        .arg("-o")
        .arg(&program);
    command
        .arg("-L")
        .arg(link)
        .arg("-ldefender_xdr")
        .arg(format!("-Wl,-rpath,{}", link.display()));
    let ran = run(&mut command, LIMIT);
    assert!(ran.status.success() && ran.stderr.is_empty(), "{command:?}: {}", ran.said());
    let place = link.join(name);
    std::fs::rename(&program, &place).unwrap();
    place
}

/// Compiles a C program of the checkout; says aloud when there is no compiler.
pub fn compile_c(source: &str, link: &Path) -> Option<PathBuf> {
    let Some(cc) = compiler("CC", "cc") else {
        skip(source, "there is no C compiler (cc) on PATH");
        return None;
    };
    Some(compile(&cc, "-std=c11", &root().join(source), link))
}
