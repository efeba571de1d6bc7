//! Files are written completely or not at all.

use std::fs;

use anyhow::{Result, ensure};
use tollgate_tests::environment::install_tls_provider;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::small_disk::SmallDisk;

cases! {
    both {}
    once {
        F6 f6_key_file_is_complete_or_absent,
    }
}

async fn f6_key_file_is_complete_or_absent(case: &RegressionCase) -> Result<()> {
    install_tls_provider();
    let disk = SmallDisk::mount(1)?;
    let mut origin = case.origin_process()?;
    let key = disk.path().join("tollgate.key");
    origin.set("TOLLGATE_MASTER_KEY_FILE", &key.display().to_string());
    // Any command that needs keys creates them if there are none.
    let make = ["key", "list"];
    disk.fill()?;
    let full = origin.cli(&make).err().map_or_else(String::new, |error| error.to_string());
    ensure!(full.contains("cannot be created"), "with a full disk: {full}");
    ensure!(!key.exists() && fs::read_dir(disk.path())?.count() == 1, "a partial key file is left");
    disk.free()?;

    fs::write(&key, "")?;
    let empty = origin.cli(&make).err().map_or_else(String::new, |error| error.to_string());
    ensure!(empty.contains("is empty") && empty.contains("remove it"), "of an empty file: {empty}");
    fs::remove_file(&key)?;
    origin.cli(&make)?;

    let whole = fs::read(&key)?;
    fs::write(&key, &whole[..20])?;
    let cut = origin.cli(&make).err().map_or_else(String::new, |error| error.to_string());
    ensure!(cut.contains("incomplete: 20 of 43 characters") && cut.contains("restore it"), "of a cut file: {cut}");
    fs::write(&key, &whole)?;
    origin.cli(&make)?;

    // An export that does not fit keeps the previous file.
    let file = disk.path().join("edge.snapshot");
    let export = ["snapshot", "export", &file.display().to_string()].map(str::to_owned);
    origin.start(&reqwest::Client::new()).await?;
    origin.cli(&export.each_ref().map(String::as_str))?;
    let before = fs::read(&file)?;
    disk.fill()?;
    ensure!(origin.cli(&export.each_ref().map(String::as_str)).is_err(), "it was written to a full disk");
    ensure!(fs::read(&file)? == before, "the previous snapshot is damaged");
    case.report("full disk: no key file, the next start creates it; empty or truncated: reported with a remedy; an export to a full disk keeps the old file");
    origin.delete().await
}
