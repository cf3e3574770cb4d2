//! Writes the header to OUT_DIR (a test compares it with the one checked in), and names the library for the linker and for Windows.

use std::env;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=src/ffi");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);

    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let mut builder = cbindgen::Builder::new().with_config(config);
    // In the order in which a reader needs them.
    for noun in [
        "version",
        "status",
        "buf",
        "secret",
        "cancel",
        "client",
        "accounts",
        "request",
        "token",
        "claims",
        "incidents",
        "call",
        "op",
    ] {
        builder = builder.with_src(root.join(format!("src/ffi/{noun}.rs")));
    }
    let mut header = Vec::new();
    builder.generate()?.write(&mut header);
    std::fs::write(out.join("defender_xdr.h"), for_c(&String::from_utf8(header)?))?;
    println!(
        "cargo:rustc-env=DEFENDER_XDR_GENERATED_HEADER={}",
        out.join("defender_xdr.h").display()
    );

    let target = env::var("CARGO_CFG_TARGET_OS")?;
    match target.as_str() {
        "windows" => resource(&out)?,
        "linux" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libdefender_xdr.so.1");
            // Threads and thread-local destructors outlive an unload, so there is none.
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
        "macos" => println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libdefender_xdr.1.dylib"),
        _ => {}
    }
    Ok(())
}

/// Takes out what only a Rust caller reads: the `# Safety` paragraphs, which repeat the parameters' descriptions.
fn for_c(header: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut skipping = false;
    for line in header.lines() {
        if line.trim() == "# Safety" {
            skipping = true;
            while lines.last().is_some_and(|last| last.trim().is_empty()) {
                lines.pop();
            }
        }
        if line.trim() == "*/" {
            skipping = false;
        }
        if !skipping {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

/// The version that Windows shows in the file's properties and in crash reports.
fn resource(out: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    let version = env::var("CARGO_PKG_VERSION")?;
    let numbers = version.split(['.', '-', '+']).take(3).collect::<Vec<_>>().join(",");
    let script = format!(
        r#"1 VERSIONINFO
FILEVERSION {numbers},0
PRODUCTVERSION {numbers},0
FILEOS 0x40004
FILETYPE 0x2
BEGIN
  BLOCK "StringFileInfo"
  BEGIN
    BLOCK "040904B0"
    BEGIN
      VALUE "FileDescription", "Microsoft Entra ID sign-in and Microsoft Defender XDR client"
      VALUE "FileVersion", "{version}"
      VALUE "InternalName", "defender_xdr"
      VALUE "OriginalFilename", "defender_xdr.dll"
      VALUE "ProductName", "defender-xdr"
      VALUE "ProductVersion", "{version}"
    END
  END
  BLOCK "VarFileInfo"
  BEGIN
    VALUE "Translation", 0x409, 1200
  END
END
"#
    );
    let path = out.join("version.rc");
    std::fs::write(&path, script)?;
    embed_resource::compile(&path, embed_resource::NONE).manifest_optional()?;
    Ok(())
}
