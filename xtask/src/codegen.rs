//! `cargo xtask codegen`: AWS service models in JSON form to Rust tables.
//!
//! Facts only: names, routes, constraints, locations, errors. No sentence of the models' documentation is copied. The output
//! is a function of the models and of the selection in `select`, so `--check` can compare it byte for byte.

mod emit;
mod models;
mod select;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Writes the tables, or with `check` compares them with the committed ones.
pub fn run(models: Option<PathBuf>, check: bool) -> Result<()> {
    let models = match models {
        Some(folder) => folder,
        None => installed_botocore()?,
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/wire/aws-api/src/generated");
    let mut stale = Vec::new();
    for selection in select::SERVICES {
        let model = models::load(&models, selection.name)?;
        let text = emit::service(&model, selection)?;
        let file = folder.join(format!("{}.rs", selection.name.replace('-', "_")));
        if check {
            if fs::read_to_string(&file).unwrap_or_default() != text {
                stale.push(selection.name);
            }
        } else {
            fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        }
    }
    if !stale.is_empty() {
        bail!("the tables of {} differ from the models: run `cargo xtask codegen`", stale.join(", "));
    }
    Ok(())
}

fn installed_botocore() -> Result<PathBuf> {
    let output = Command::new("python3")
        .args(["-c", "import botocore, os; print(os.path.join(os.path.dirname(botocore.__file__), 'data'))"])
        .output()
        .context("run python3 to find botocore; or say --models DIR")?;
    if !output.status.success() {
        bail!("botocore is not installed for python3; say --models DIR");
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
