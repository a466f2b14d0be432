//! Why something happened: who touched a path or a host, or stands behind a process, each with the line of commands that
//! led to it.

use capsule_core::EffectKind;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answered, Find, Page, QueryError, Questions};
use crate::deeds;
use crate::model::{EffectItem, Process};

/// What is asked about: one of `path`, `host`, `pid` and `proc`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct About {
    /// A path, or a part of one
    #[serde(default)]
    pub path: Option<String>,
    /// A host name or address, or a part of one
    #[serde(default)]
    pub host: Option<String>,
    /// A pid; every process that had it answers
    #[serde(default)]
    pub pid: Option<u32>,
    /// A process of the session by its number
    #[serde(default)]
    pub proc: Option<u32>,
    /// Which page
    #[serde(flatten)]
    pub page: Page,
}

/// How many commands of a line are shown, the root's first, and how many effects.
const SHOWN: usize = 12;

impl Questions<'_> {
    /// The processes behind something: what each did to it, and the commands from the root down that led there.
    ///
    /// # Errors
    /// When not exactly one thing is asked about, or it is a process that the session does not have.
    pub fn why(&self, about: &About) -> Result<Answered, QueryError> {
        let asked = [about.path.is_some(), about.host.is_some(), about.pid.is_some(), about.proc.is_some()];
        if asked.iter().filter(|asked| **asked).count() != 1 {
            return Err(QueryError::Unclear("ask about one of `path`, `host`, `pid` and `proc`"));
        }
        let mut touched: Vec<Vec<&EffectItem>> = vec![Vec::new(); self.report.processes.len().saturating_add(1)];
        let find = Find { path: about.path.clone(), host: about.host.clone(), ..Find::default() };
        let mut behind: Vec<&Process> = if about.path.is_some() || about.host.is_some() {
            for effect in &self.report.effects {
                let fits = match (&about.path, &about.host) {
                    (Some(path), _) => [&effect.path, &effect.to]
                        .into_iter()
                        .flatten()
                        .any(|known| super::holds(known.as_bytes(), path.as_bytes())),
                    (None, Some(host)) => {
                        let end = effect.endpoint.as_ref();
                        end.is_some_and(|end| super::holds(end.host.as_bytes(), host.as_bytes()))
                    }
                    (None, None) => false,
                };
                if let Some(list) = touched.get_mut(effect.proc as usize).filter(|_| fits) {
                    list.push(effect);
                }
            }
            self.fitting(&find)?
        } else if let Some(proc) = about.proc {
            vec![self.process(proc)?]
        } else {
            self.report.processes.iter().filter(|process| Some(process.pid) == about.pid).collect()
        };
        // As in `capsule why`: who changed it before who read it, and that before who only named it.
        behind.sort_by_key(|process| {
            let did = touched.get(process.proc as usize).into_iter().flatten();
            did.map(|effect| deeds::rank(EffectKind::from_name(&effect.kind))).min().unwrap_or(deeds::rank(None))
        });
        let known = json!({
            "effects_recorded": self.report.effects_total > 0,
            "note": if self.report.effects_total > 0 { "what each did to it is in `did`; without `did` it was only named" }
                else { "file and network effects were not recorded: processes that name it in their arguments" },
        });
        Ok(self.page(known, &behind, about.page, |process| {
            let mut entry = self.brief(process);
            let line = self.ancestry(process);
            // The root, which is what a person started, and the nearest.
            let skip = line.len().saturating_sub(SHOWN);
            let because: Vec<Value> = line
                .iter()
                .enumerate()
                .filter(|(at, _)| *at == 0 || *at > skip)
                .map(|(_, process)| {
                    let command = self.quote(process.summary.as_bytes(), 120);
                    json!({ "ref": format!("proc:{}", process.proc), "role": process.role.name(), "command": command })
                })
                .collect();
            let did = touched.get(process.proc as usize).map(Vec::as_slice).unwrap_or_default();
            if let Value::Object(fields) = &mut entry {
                fields.insert("because_root_first".to_owned(), json!(because));
                fields.insert("label_rule".to_owned(), json!(process.rule));
                if !did.is_empty() {
                    let did: Vec<Value> = did.iter().take(SHOWN).map(|effect| self.effect(effect)).collect();
                    fields.insert("did".to_owned(), json!(did));
                }
            }
            entry
        }))
    }
}
