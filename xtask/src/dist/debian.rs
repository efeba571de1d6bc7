//! A Debian package of one program, from the collected files and the scripts in `deploy/debian`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{Package, licences, run};
use crate::{
    progress,
    workspace::{TempFolder, command},
};

/// Scripts of a package that dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
/// Settings of the packaged origin that differ from the defaults: an absolute path each.
const ORIGIN_SETTINGS: [(&str, &str); 2] =
    [("database_url", "sqlite:///var/lib/tollgate/tollgate.db"), ("master_key_file", "/var/lib/tollgate/tollgate.key")];

/// Makes `PROGRAM_VERSION_ARCHITECTURE.deb` in `output`; returns the file's name.
pub(super) fn package(package: &Package, program: &str, output: &Path) -> Result<String> {
    let folder = TempFolder::new(&format!("deb-{program}-{}", package.architecture.name()))?;
    let tree = Tree { root: folder.0.join("tree") };
    add_files(package, program, &tree)?;
    add_control(package, program, &tree)?;
    tree.set_modes(&tree.root, program)?;
    let file = format!("{program}_{}_{}.deb", package.release.version, package.architecture.name());
    let mut build = command("dpkg-deb");
    // One thread, because xz with several divides its input by their number.
    let compression: &[&str] =
        if package.is_built_here { &["-Zxz", "--threads-max=1"] } else { &["-Zgzip", "-z1", "--threads-max=1"] };
    build.arg("--root-owner-group").args(compression).arg("--build").arg(&tree.root).arg(output.join(&file));
    build.env("SOURCE_DATE_EPOCH", package.release.epoch.to_string());
    progress::run(&format!("packing {file}"), &package.workspace.cache.join("logs"), "dist-deb", &mut build)?;
    Ok(file)
}

/// Files of a package, as they are installed.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }

    fn copy(&self, from: &Path, to: &str) -> Result<()> {
        self.write(to, fs::read(from).with_context(|| format!("cannot read {}", from.display()))?)
    }

    fn write_compressed(&self, from: &Path, to: &str) -> Result<()> {
        let gzip = run(command("gzip").args(["--no-name", "-9", "--stdout"]).arg(from))?;
        self.write(to, gzip)
    }

    /// Sets the modes of everything in `folder`, which otherwise depend on the umask.
    fn set_modes(&self, folder: &Path, program: &str) -> Result<()> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.set_modes(&path, program)?;
                continue;
            }
            let name = path.strip_prefix(&self.root)?.to_string_lossy().into_owned();
            let is_script = SCRIPTS.iter().any(|script| name == format!("DEBIAN/{script}"));
            let mode = if is_script || name == format!("usr/bin/{program}") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }

    /// Paths of all files below `folder`, relative to the root and ordered.
    fn files(&self, folder: &Path) -> Result<Vec<String>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => files.extend(self.files(&path)?),
                false => files.push(path.strip_prefix(&self.root)?.to_string_lossy().into_owned()),
            }
        }
        files.sort();
        Ok(files)
    }
}

fn settings_path(program: &str) -> String {
    format!("etc/{program}/{program}.toml")
}

fn add_files(package: &Package, program: &str, tree: &Tree) -> Result<()> {
    let from = |path: &str| package.folder.join(path);
    let documents = format!("usr/share/doc/{program}");
    tree.copy(&from(program), &format!("usr/bin/{program}"))?;
    let unit = format!("{program}.service");
    tree.copy(&from("systemd").join(&unit), &format!("usr/lib/systemd/system/{unit}"))?;
    let settings = fs::read_to_string(from(&format!("{program}.toml")))?;
    let settings = if program == "tollgate" { with_absolute_paths(&settings)? } else { settings };
    tree.write(&settings_path(program), settings)?;
    let completions = from("completions");
    for (shell, file, to) in [
        ("bash", program.to_owned(), "usr/share/bash-completion/completions"),
        ("zsh", format!("_{program}"), "usr/share/zsh/vendor-completions"),
        ("fish", format!("{program}.fish"), "usr/share/fish/vendor_completions.d"),
    ] {
        tree.copy(&completions.join(shell).join(&file), &format!("{to}/{file}"))?;
    }
    for page in fs::read_dir(from(super::MAN_PAGES))? {
        let page = page?.path();
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_page_of(&name, program) {
            tree.write_compressed(&page, &format!("usr/share/man/man1/{name}.gz"))?;
        }
    }
    let license = fs::read_to_string(from("LICENSE"))?;
    let others = licences::FILE;
    let copyright =
        format!("{license}\nLicences of the works that the program contains: {others}.gz in this folder.\n");
    tree.write(&format!("{documents}/copyright"), copyright)?;
    tree.write_compressed(&from(others), &format!("{documents}/{others}.gz"))?;
    tree.write_compressed(&from("CHANGELOG.md"), &format!("{documents}/changelog.gz"))?;
    tree.write_compressed(&from(&format!("{program}.cdx.json")), &format!("{documents}/{program}.cdx.json.gz"))
}

/// Whether a manual page belongs to `program`. Pages of the origin's subcommands have another
/// section: `tollgate-edge.1` is of the program, `tollgate-edge.1tollgate` of `tollgate edge`.
fn is_page_of(page: &str, program: &str) -> bool {
    let is_edge = page.starts_with("tollgate-edge") && page.ends_with(".1");
    is_edge == (program == "tollgate-edge")
}

/// The sample settings with paths that do not depend on the working folder.
fn with_absolute_paths(sample: &str) -> Result<String> {
    let mut settings = sample.to_owned();
    for (name, value) in ORIGIN_SETTINGS {
        let line = sample.lines().find(|line| line.starts_with(&format!("#{name} = ")));
        let line = line.with_context(|| format!("the sample settings have no {name}"))?;
        settings = settings.replace(line, &format!("{name} = \"{value}\""));
    }
    Ok(settings)
}

fn add_control(package: &Package, program: &str, tree: &Tree) -> Result<()> {
    let sources = package.workspace.root.join("deploy/debian").join(program);
    let files = tree.files(&tree.root)?;
    let mut bytes = 0;
    for file in &files {
        bytes += fs::metadata(tree.root.join(file))?.len();
    }
    let control = fs::read_to_string(sources.join("control"))?;
    let (version, architecture) = (package.release.version, package.architecture.name());
    let head = format!("Version: {version}\nArchitecture: {architecture}\nInstalled-Size: {}\n", bytes.div_ceil(1024));
    let (name, rest) = control.split_once('\n').context("control has a first line")?;
    let sums = run(command("md5sum").args(&files).current_dir(&tree.root))?;
    tree.write("DEBIAN/control", format!("{name}\n{head}{rest}"))?;
    tree.write("DEBIAN/conffiles", format!("/{}\n", settings_path(program)))?;
    tree.write("DEBIAN/md5sums", sums)?;
    for script in SCRIPTS {
        tree.copy(&sources.join(script), &format!("DEBIAN/{script}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::PROGRAMS;

    #[test]
    fn pages_of_both_programs_have_one_owner() {
        for (page, program) in [
            ("tollgate.1", "tollgate"),
            ("tollgate-edge.1", "tollgate-edge"),
            ("tollgate-edge-verify.1", "tollgate-edge"),
            ("tollgate-edge.1tollgate", "tollgate"),
            ("tollgate-edge-add.1tollgate", "tollgate"),
        ] {
            assert!(is_page_of(page, program), "{page}");
            assert!(!PROGRAMS.iter().any(|other| *other != program && is_page_of(page, other)), "{page}");
        }
    }

    #[test]
    fn packaged_settings_have_absolute_paths() -> Result<()> {
        let sample = "# a\n#database_url = \"sqlite://tollgate.db\"\n#master_key_file = \"tollgate.key\"\n";
        let settings = with_absolute_paths(sample)?;
        assert!(settings.contains("\ndatabase_url = \"sqlite:///var/lib/tollgate/tollgate.db\"\n"), "{settings}");
        assert!(settings.contains("\nmaster_key_file = \"/var/lib/tollgate/tollgate.key\"\n"), "{settings}");
        assert!(with_absolute_paths("#database_url = \"\"\n").is_err());
        Ok(())
    }
}
