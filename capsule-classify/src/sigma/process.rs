//! A process, by the names that Sigma gives to what is known of one.

use std::borrow::Cow;

use capsule_core::{Argv, ByteString};
use rsigma_eval::event::{Event, EventValue};
use serde_json::Value;

use crate::verdict::Input;

/// The fields of a rule that there is something to compare with.
pub(super) const FIELDS: &[&str] =
    &["Image", "CommandLine", "CurrentDirectory", "ParentImage", "ParentCommandLine", "User"];

/// What is known of a process. What is not known is absent, and matches nothing.
pub(super) struct Process {
    fields: Vec<(&'static str, String)>,
}

impl Process {
    /// A process by its executable, and where it was called by another name (`sh` that is dash, an applet of busybox) by
    /// that name as well.
    pub(super) fn of(input: &Input) -> Vec<Self> {
        let context = &input.context;
        let called = input.argv.iter().next().map(named).unwrap_or_default();
        let exe = context.exe.as_ref().map(|exe| exe.to_lossy().into_owned());
        let mut fields = vec![("CommandLine", command_line(&input.argv))];
        if let Some(cwd) = &input.cwd {
            fields.push(("CurrentDirectory", cwd.to_lossy().into_owned()));
        }
        let parent = context.parent.as_ref();
        if let Some(image) = image(context.parent_exe.as_ref(), parent) {
            fields.push(("ParentImage", image));
        }
        if let Some(parent) = parent {
            fields.push(("ParentCommandLine", command_line(parent)));
        }
        let user = context.user.clone().or_else(|| context.elevated.then(|| "root".to_owned()));
        if let Some(user) = user {
            fields.push(("User", user));
        }
        let mut images: Vec<String> = exe.into_iter().collect();
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        if !called.is_empty() && !images.iter().any(|known| last(known) == last(&called)) {
            images.push(called);
        }
        if images.is_empty() {
            return vec![Self { fields }];
        }
        images
            .into_iter()
            .map(|image| {
                let mut fields = fields.clone();
                fields.push(("Image", image));
                Self { fields }
            })
            .collect()
    }
}

fn image(exe: Option<&ByteString>, argv: Option<&Argv>) -> Option<String> {
    match exe {
        Some(exe) => Some(exe.to_lossy().into_owned()),
        None => argv.and_then(|argv| argv.iter().next()).map(named),
    }
}

/// A path for `argv[0]`: rules speak of `/curl` and `/bin/curl`, and a bare name came from a directory of programs.
fn named(first: &[u8]) -> String {
    let name = String::from_utf8_lossy(first.strip_prefix(b"-").unwrap_or(first)).into_owned();
    if name.contains('/') || name.is_empty() { name } else { format!("/usr/bin/{name}") }
}

/// The arguments with blanks between them, as the programs log them that Sigma rules are written for.
fn command_line(argv: &Argv) -> String {
    let mut out = String::new();
    for (index, arg) in argv.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(&String::from_utf8_lossy(arg));
    }
    out
}

impl Event for Process {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        let (_, value) = self.fields.iter().find(|(name, _)| *name == path)?;
        Some(EventValue::Str(Cow::Borrowed(value)))
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        self.fields.iter().any(|(_, value)| pred(value))
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        self.fields.iter().map(|(_, value)| Cow::Borrowed(value.as_str())).collect()
    }

    fn to_json(&self) -> Value {
        Value::Object(self.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect())
    }

    fn top_level_keys(&self) -> Option<Vec<Cow<'_, str>>> {
        Some(self.fields.iter().map(|(name, _)| Cow::Borrowed(*name)).collect())
    }
}
