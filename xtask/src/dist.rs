//! Packages: static programs with their components, manuals, licences and a bill of materials, as
//! an archive and as Debian packages.
//!
//! Two runs on one commit, with the same compiler and tools, give the same bytes in whatever folder
//! they run: paths are removed from the programs, times are that of the commit, and entries of
//! archives are sorted and owned by root.

mod bill_of_materials;
mod build;
mod crates;
mod debian;
mod licences;
mod release;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use self::{crates::Crates, release::Release};
use crate::{
    arguments::Architecture,
    progress, setup,
    workspace::{Workspace, command},
};

/// The programs, each with a package of its own.
pub(crate) const PROGRAMS: [&str; 2] = ["tollgate", "tollgate-edge"];

/// Folder of the manual pages in the archive.
const MAN_PAGES: &str = "man/man1";

/// What to package.
pub(crate) struct Options {
    architectures: Vec<Architecture>,
    /// Folder of programs to package instead of building them, for tests of the packages.
    programs: Option<PathBuf>,
    /// Folder for the packages; `dist` of the checkout by default.
    output: Option<PathBuf>,
}

impl Options {
    /// All architectures unless some are named; only this machine's for `programs`.
    pub(crate) fn new(
        architectures: Vec<Architecture>,
        output: Option<PathBuf>,
        programs: Option<PathBuf>,
    ) -> Result<Options> {
        let mut all = Architecture::ALL.to_vec();
        // This machine's first: its programs print the manuals.
        all.sort_by_key(|architecture| !architecture.is_this_machine());
        all.retain(|architecture| match programs {
            Some(_) => architecture.is_this_machine(),
            None => architectures.is_empty() || architectures.contains(architecture),
        });
        ensure!(!all.is_empty(), "programs of this machine cannot be packaged: it is neither amd64 nor arm64");
        let [programs, output] = [programs, output].map(|path| path.map(std::path::absolute).transpose());
        Ok(Options { architectures: all, programs: programs?, output: output? })
    }
}

pub(crate) fn dist(workspace: &Workspace, options: &Options) -> Result<()> {
    let output = options.output.clone().unwrap_or_else(|| workspace.root.join("dist"));
    let release = Release::of_checkout(&workspace.root)?;
    if options.programs.is_none() {
        setup::for_dist(workspace, &options.architectures)?;
    }
    let components = match &options.programs {
        Some(_) => None,
        None => Some(build::components(workspace, &release)?),
    };
    let mut files = Vec::new();
    for &architecture in &options.architectures {
        let programs = match (&options.programs, &components) {
            (None, Some(components)) => build::programs(workspace, &release, architecture, components)?,
            (programs, _) => programs.clone().context("neither programs nor components")?,
        };
        let package = Package {
            workspace,
            release: &release,
            architecture,
            is_built_here: options.programs.is_none(),
            folder: output.join(format!("linux-{}", architecture.name())),
        };
        package.collect(&programs)?;
        files.push(package.archive(&output)?);
        for program in PROGRAMS {
            files.push(debian::package(&package, program, &output)?);
        }
    }
    files.sort();
    let sums = run(command("sha256sum").args(&files).current_dir(&output))?;
    fs::write(output.join(CHECKSUMS), &sums)?;
    println!("{} of {}:", release.version, release.commit);
    print!("{}", String::from_utf8_lossy(&sums));
    println!("in {}", output.display());
    Ok(())
}

/// Builds this machine's packages twice, for the tests: here, and in a clone in another folder with
/// its own target folder. Returns the tests' variables.
pub(crate) fn two_builds(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    let release = Release::of_checkout(&workspace.root)?;
    ensure!(!release.commit.ends_with(release::MODIFIED), "commit first: the second build is of a clone");
    let folder = workspace.target.join("dist-test");
    let clone = folder.join("checkout");
    if clone.exists() {
        fs::remove_dir_all(&clone)?;
    }
    run(command("git").args(["clone", "--quiet"]).args([&workspace.root, &clone]))?;
    run(command("git").arg("-C").arg(&clone).args(["checkout", "--quiet", "--detach", &release.commit]))?;
    let second = Workspace { root: clone.clone(), target: clone.join("target"), ..workspace.clone() };
    let outputs = [folder.join("first"), folder.join("second")];
    for (workspace, output) in [workspace, &second].into_iter().zip(&outputs) {
        let architectures = Architecture::ALL.into_iter().filter(|architecture| architecture.is_this_machine());
        dist(workspace, &Options::new(architectures.collect(), Some(output.clone()), None)?)?;
    }
    fs::remove_dir_all(&clone)?; // gigabytes
    let [first, second] = outputs;
    Ok(vec![
        ("TOLLGATE_TEST_DIST", first),
        ("TOLLGATE_TEST_DIST_AGAIN", second),
        ("TOLLGATE_TEST_DIST_PYTHON", workspace.dist_tools().join("bin/python")),
    ])
}

const CHECKSUMS: &str = "SHA256SUMS";

/// What is packaged for one kind of machine.
struct Package<'a> {
    workspace: &'a Workspace,
    release: &'a Release,
    architecture: Architecture,
    /// Whether `programs` were built for distribution; those of tests are compressed quickly.
    is_built_here: bool,
    /// Collected files: the content of the archive, from which Debian packages are made, too.
    folder: PathBuf,
}

impl Package<'_> {
    /// Collects all files in the folder.
    fn collect(&self, programs: &Path) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        fs::create_dir_all(&self.folder)?;
        for program in PROGRAMS {
            let copied = self.folder.join(program);
            fs::copy(programs.join(program), &copied)
                .with_context(|| format!("cannot copy {}", programs.join(program).display()))?;
            if !self.is_built_here {
                run(command("strip").arg(&copied))?;
            }
        }
        for (file, from) in [
            ("LICENSE", "LICENSE"),
            ("CHANGELOG.md", "CHANGELOG.md"),
            ("tollgate-edge.toml", "deploy/debian/tollgate-edge/tollgate-edge.toml"),
        ] {
            fs::copy(self.workspace.root.join(from), self.folder.join(file)).with_context(|| from.to_owned())?;
        }
        fs::create_dir_all(self.folder.join("systemd"))?;
        for program in PROGRAMS {
            let unit = format!("{program}.service");
            let from = self.workspace.root.join("deploy/systemd").join(&unit);
            fs::copy(&from, self.folder.join("systemd").join(unit)).with_context(|| from.display().to_string())?;
        }
        self.write_generated(&self.runnable_programs(programs))?;
        let crates = Crates::of_programs(self.workspace, self.architecture.target())?;
        let runtime = licences::runtime(self.workspace)?;
        fs::write(self.folder.join(licences::FILE), licences::text(&crates, &runtime)?)?;
        for program in PROGRAMS {
            let bill = bill_of_materials::json(&crates, &runtime, program, self.release)?;
            fs::write(self.folder.join(format!("{program}.cdx.json")), bill)?;
        }
        Ok(())
    }

    /// Programs of this release that this machine can run: those being packaged, or, for another
    /// kind of machine, those packaged before.
    fn runnable_programs(&self, programs: &Path) -> PathBuf {
        if self.architecture.is_this_machine() {
            return programs.to_owned();
        }
        let this_machine = Architecture::ALL.into_iter().find(|architecture| architecture.is_this_machine());
        let name = this_machine.map_or_else(String::new, |architecture| format!("linux-{}", architecture.name()));
        self.folder.with_file_name(name)
    }

    /// Manuals, completions and the sample settings file, which the programs print.
    fn write_generated(&self, programs: &Path) -> Result<()> {
        let (man, completions) = (self.folder.join(MAN_PAGES), self.folder.join("completions"));
        fs::create_dir_all(&man)?;
        fs::create_dir_all(&completions)?;
        for program in PROGRAMS {
            let path = programs.join(program);
            ensure!(
                path.is_file(),
                "{} is missing: package this machine's kind first, its programs print the manuals",
                path.display()
            );
            run(command(&path).arg("man-pages").arg(&man))?;
            for (shell, file) in
                [("bash", program.to_owned()), ("zsh", format!("_{program}")), ("fish", format!("{program}.fish"))]
            {
                fs::create_dir_all(completions.join(shell))?;
                let script = run(command(&path).args(["completions", shell]))?;
                fs::write(completions.join(shell).join(file), script)?;
            }
        }
        let sample = run(command(programs.join(PROGRAMS[0])).args(["config", "sample"]))?;
        Ok(fs::write(self.folder.join("tollgate.toml"), sample)?)
    }

    /// Packs the folder as `tollgate-VERSION-linux-ARCHITECTURE.tar.gz`; returns the file's name.
    fn archive(&self, output: &Path) -> Result<String> {
        let folder = format!("linux-{}", self.architecture.name());
        let name = format!("tollgate-{}-{folder}", self.release.version);
        let level = if self.is_built_here { "-9" } else { "-1" };
        let file = format!("{name}.tar.gz");
        let mut tar = command("tar");
        tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX", "--format=ustar"]);
        tar.arg(format!("--mtime=@{}", self.release.epoch)).arg(format!("--transform=s,^{folder},{name},"));
        tar.arg(format!("--use-compress-program=gzip --no-name {level}"));
        tar.arg("--create").arg("--file").arg(output.join(&file)).arg("--directory").args([output, Path::new(&folder)]);
        progress::run(&format!("packing {file}"), &self.workspace.cache.join("logs"), "dist-tar", &mut tar)?;
        Ok(file)
    }
}

/// Runs a quick tool and returns its standard output.
fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    Ok(output.stdout)
}
