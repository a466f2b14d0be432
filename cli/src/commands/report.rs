//! `capsule report`: what happened, for people, models and programs.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::mem::ManuallyDrop;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use capsule_core::{ProcId, exit};
use capsule_report::{Filter, Listing, Medium, Options, Redact, Report};

use crate::args::{Color, Format, ReportArgs};
use crate::error::{Outcome, Problem};
use crate::{load, output};

pub(super) fn exec(args: &ReportArgs) -> Outcome {
    let filter = args.filter.as_deref().map(Filter::parse).transpose();
    let shared = super::options()?;
    let options = Options {
        width: args.width.map_or_else(terminal_width, usize::from),
        color: wants_color(args.color, args.output.is_none()),
        depth: args.depth,
        all: args.all,
        proc: args.proc.map(ProcId),
        filter: filter.map_err(|error| Problem::new(exit::USAGE, error))?,
        max_tokens: args.max_tokens as usize,
        redact: Redact { user: args.no_user, host: args.no_host, ..shared.redact },
        ..shared
    };
    let template = match &args.template {
        None => None,
        Some(path) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("could not read `{}`", path.display()))?)
        }
    };
    render(&Wanted { session: &args.session, format: args.format, template, to: args.output.as_deref() }, options)
}

/// Which report of which session, and where it goes.
pub(super) struct Wanted<'a> {
    /// The session, as named.
    pub(super) session: &'a str,
    /// In which form.
    pub(super) format: Format,
    /// The user's own template.
    pub(super) template: Option<String>,
    /// A file, or stdout.
    pub(super) to: Option<&'a Path>,
}

/// Writes a report of a session to a file or to stdout.
pub(super) fn render(wanted: &Wanted<'_>, mut options: Options) -> Outcome {
    // Never given back: the process ends soon, and to free a million processes one by one takes longer than the report.
    let mut view = ManuallyDrop::new(load::view(wanted.session)?);
    if let Some(proc) = options.proc
        && view.tree.get(proc).is_none()
    {
        let count = view.tree.nodes.len();
        let problem = Problem::usage(format!("there is no process {proc} in this session"));
        return Err(problem.hint(format!("processes are 1 to {count}")));
    }
    if let Some(proc) = options.proc {
        view.zoom(proc);
    }
    options.baseline = load::baseline(&view.metadata);
    options.listing = match wanted.format {
        Format::Human | Format::Markdown if wanted.template.is_none() => Listing::Nothing,
        Format::Ai => Listing::Brief,
        _ => Listing::Full,
    };
    let report = ManuallyDrop::new(Report::assemble(&view, &options));
    match wanted.to {
        None if wanted.format == Format::Human && output::stdout_is_terminal() => {
            let mut text = Vec::new();
            write(wanted, &report, &options, &mut text)?;
            output::page(&text)?;
        }
        None => {
            let mut out = output::data();
            write(wanted, &report, &options, &mut out)?;
            out.flush()?;
        }
        Some(path) => {
            let failed = || format!("could not write `{}`", path.display());
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)
                .with_context(failed)?;
            let mut out = BufWriter::new(file);
            write(wanted, &report, &options, &mut out)?;
            out.flush().with_context(failed)?;
        }
    }
    Ok(exit::OK)
}

fn write(wanted: &Wanted<'_>, report: &Report, options: &Options, out: &mut dyn Write) -> Result<(), Problem> {
    if let Some(source) = &wanted.template {
        let medium = match wanted.format {
            Format::Html => Medium::Html,
            Format::Markdown => Medium::Markdown,
            Format::Human => Medium::Terminal,
            Format::Ai | Format::Json => {
                return Err(Problem::usage("--template goes with the human, markdown and html forms"));
            }
        };
        capsule_report::render(source, medium, report, options, out)?;
        return Ok(());
    }
    match wanted.format {
        Format::Human => capsule_report::human(report, options, out),
        Format::Ai => capsule_report::ai(report, options, out),
        Format::Json => capsule_report::json(report, out),
        Format::Markdown => capsule_report::markdown(report, options, out),
        Format::Html => capsule_report::html(report, options, out),
    }?;
    Ok(())
}

/// Whether to use colour, by what was asked for, the environment, and where the text goes.
pub(super) fn wants_color(color: Color, to_stdout: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let terminal = output::stdout_is_terminal() && to_stdout;
            !set("NO_COLOR") && (terminal || set("CLICOLOR_FORCE"))
        }
    }
}

/// The terminal's width; elsewhere that of `COLUMNS`, where it is set.
pub(super) fn terminal_width() -> usize {
    if !output::stdout_is_terminal() {
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        return columns.filter(|columns| (20..=1000).contains(columns)).unwrap_or(Options::default().width);
    }
    terminal_size::terminal_size().map_or(Options::default().width, |(width, _)| usize::from(width.0).max(40))
}
