//! One process: everything that is known of it, the line of its ancestors included.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answered, Page, QueryError, Questions};
use crate::deeds;
use crate::model::{EffectItem, Exec};

/// Which process.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct One {
    /// Its number in the session: the N of `proc:N`
    #[serde(default)]
    pub proc: Option<u32>,
    /// Or its pid: pids are reused, so that several processes may answer
    #[serde(default)]
    pub pid: Option<u32>,
    /// Which page of what it did to files, network and other processes
    #[serde(flatten)]
    pub page: Page,
}

/// Columns that all arguments of an exec share.
const ARGUMENTS: usize = 2400;
/// How many arguments, execs, ancestors and children are shown.
const SHOWN: usize = 32;

impl Questions<'_> {
    /// What is known of a process, and a page of what it did outside itself.
    ///
    /// # Errors
    /// When there is no such process, or a pid was that of several.
    pub fn one(&self, one: &One) -> Result<Answered, QueryError> {
        let proc = match (one.proc, one.pid) {
            (Some(proc), _) => proc,
            (None, Some(pid)) => {
                let mut with = self.report.processes.iter().filter(|process| process.pid == pid);
                match (with.next(), with.next()) {
                    (Some(only), None) => only.proc,
                    (Some(_), Some(_)) => {
                        return Err(QueryError::Unclear("several processes had this pid: ask `why` for it"));
                    }
                    (None, _) => return Err(QueryError::Unclear("no process had this pid")),
                }
            }
            (None, None) => return Err(QueryError::Unclear("name a process by `proc` or `pid`")),
        };
        let process = self.process(proc)?;
        let mut about = self.brief(process);
        let line = self.ancestry(process);
        let skipped = line.len().saturating_sub(SHOWN);
        let ancestors: Vec<Value> = line
            .iter()
            .take(line.len().saturating_sub(1))
            .skip(skipped)
            .map(|process| {
                let command = self.quote(process.summary.as_bytes(), 100);
                json!({ "ref": format!("proc:{}", process.proc), "role": process.role.name(), "command": command })
            })
            .collect();
        let children: Vec<u32> =
            self.report.processes.iter().filter(|child| child.parent == Some(proc)).map(|child| child.proc).collect();
        let findings: Vec<Value> = self
            .report
            .risk
            .items
            .iter()
            .filter(|item| item.proc == proc || item.procs.contains(&proc))
            .take(SHOWN)
            .map(|item| json!({ "ref": format!("risk:{}", item.seq), "severity": item.severity.name(), "title": item.title, "rule": item.rule }))
            .collect();
        let resources: Vec<Value> = process
            .resources
            .iter()
            .take(SHOWN)
            .map(
                |resource| json!({ "kind": resource.kind.name(), "value": self.quote(resource.value.as_bytes(), 200) }),
            )
            .collect();
        if let Value::Object(fields) = &mut about {
            let mut add = |name: &str, value: Value| fields.insert(name.to_owned(), value);
            add("first_event", json!(format!("event:{}", process.event)));
            add("label_rule", json!(process.rule));
            add("execs", process.execs.iter().take(SHOWN).map(|exec| self.exec(exec)).collect());
            add("execs_total", json!(process.execs.len()));
            add("failed_execs", json!(process.failed_execs));
            add("ancestors_root_first", json!(ancestors));
            add("ancestors_left_out", json!(skipped));
            add("children_total", json!(children.len()));
            add("children", children.iter().take(SHOWN).map(|child| json!(format!("proc:{child}"))).collect());
            add("findings", json!(findings));
            add("resources", json!(resources));
            add("cpu_us", json!(process.cpu_us));
            add("max_rss_kib", json!(process.max_rss_kib));
        }
        let effects: Vec<&EffectItem> = self.report.effects.iter().filter(|effect| effect.proc == proc).collect();
        Ok(self.page(about, &effects, one.page, |effect| self.effect(effect)))
    }

    fn exec(&self, exec: &Exec) -> Value {
        let mut left = ARGUMENTS;
        let mut argv = Vec::new();
        for argument in exec.argv.iter().take(SHOWN) {
            let columns = argument.len().min(left).max(8);
            argv.push(self.quote(argument, columns));
            left = left.saturating_sub(columns);
        }
        let mut out = json!({ "ref": format!("event:{}", exec.event), "argv": argv });
        if let Value::Object(fields) = &mut out {
            let more = exec.argv.len().saturating_sub(argv.len());
            if more > 0 {
                fields.insert("arguments_left_out".to_owned(), json!(more));
            }
            for (name, value) in [("exe", &exec.exe), ("cwd", &exec.cwd)] {
                if let Some(value) = value {
                    fields.insert(name.to_owned(), json!(self.quote(value.as_bytes(), 200)));
                }
            }
        }
        out
    }

    /// What a process did to one thing.
    pub(super) fn effect(&self, effect: &EffectItem) -> Value {
        let (first, last) = effect.events;
        let kind = capsule_core::EffectKind::from_name(&effect.kind);
        let mut out = json!({
            "ref": format!("event:{first}"),
            "proc": format!("proc:{}", effect.proc),
            "kind": effect.kind,
            "did": kind.map_or("", |kind| deeds::verb(kind, effect.to.is_some())),
            "times": effect.count,
        });
        if let Value::Object(fields) = &mut out {
            let mut add = |name: &str, value: Value| fields.insert(name.to_owned(), value);
            if last != first {
                add("last", json!(format!("event:{last}")));
            }
            for (name, value) in [("path", &effect.path), ("to", &effect.to)] {
                if let Some(value) = value {
                    add(name, json!(self.quote(value.as_bytes(), 240)));
                }
            }
            if let Some(endpoint) = &effect.endpoint {
                add("protocol", json!(endpoint.protocol));
                add("host", json!(self.quote(endpoint.host.as_bytes(), 120)));
                add("port", json!(endpoint.port));
            }
            if let Some(detail) = &effect.detail {
                add("detail", json!(self.quote(detail.as_bytes(), 120)));
            }
            if let Some(errno) = effect.errno {
                add("failed_with_errno", json!(errno));
            }
        }
        out
    }
}
