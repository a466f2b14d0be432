//! Which processes a reader wants to see: a few words, all of which must fit.

use capsule_core::{Label, ProcessNode, Role, Severity, Workflow};

/// A filter: words that must all fit a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    Not(Box<Term>),
    Label(Label),
    Workflow(Workflow),
    Role(Role),
    Tool(Vec<u8>),
    Failed,
    Risk(Severity),
    Text(Vec<u8>),
}

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{term}` is not a filter term: {hint}")]
pub struct FilterError {
    term: String,
    hint: String,
}

impl Filter {
    /// Reads a filter: words divided by spaces, each `label:Tool`, `workflow:FileAnalysis`, `role:helper`, `tool:git`,
    /// `failed`, `risk` (any), `risk:medium` (at least), or text that the command line holds. `!` before a word negates it.
    ///
    /// # Errors
    /// When a word has a known key with an unknown value.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let terms = text.split_whitespace().map(Term::parse).collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// Whether a process fits.
    #[must_use]
    pub fn fits(&self, node: &ProcessNode) -> bool {
        self.terms.iter().all(|term| term.fits(node))
    }
}

impl Term {
    fn parse(word: &str) -> Result<Self, FilterError> {
        if let Some(rest) = word.strip_prefix('!').filter(|rest| !rest.is_empty()) {
            return Ok(Self::Not(Box::new(Self::parse(rest)?)));
        }
        let unknown =
            |names: Vec<&str>| FilterError { term: word.to_owned(), hint: format!("one of {}", names.join(", ")) };
        match word.split_once(':') {
            Some(("label", name)) => Label::from_name(name)
                .map(Self::Label)
                .ok_or_else(|| unknown(Label::ALL.iter().map(|label| label.name()).collect())),
            Some(("workflow", name)) => Workflow::from_name(name)
                .map(Self::Workflow)
                .ok_or_else(|| unknown(Workflow::ALL.iter().map(|workflow| workflow.name()).collect())),
            Some(("role", name)) => Role::from_name(name)
                .map(Self::Role)
                .ok_or_else(|| unknown(Role::ALL.iter().map(|role| role.name()).collect())),
            Some(("risk", name)) => Severity::from_name(name)
                .map(Self::Risk)
                .ok_or_else(|| unknown(Severity::ALL.iter().map(|severity| severity.name()).collect())),
            Some(("tool", "")) => {
                Err(FilterError { term: word.to_owned(), hint: "a program's name follows, as in tool:git".to_owned() })
            }
            Some(("tool", name)) => Ok(Self::Tool(name.as_bytes().to_vec())),
            _ if word == "failed" => Ok(Self::Failed),
            _ if word == "risk" => Ok(Self::Risk(Severity::Info)),
            _ => Ok(Self::Text(word.as_bytes().to_vec())),
        }
    }

    fn fits(&self, node: &ProcessNode) -> bool {
        match self {
            Self::Not(term) => !term.fits(node),
            Self::Label(label) => node.label == *label,
            Self::Workflow(workflow) => node.workflow == Some(*workflow),
            Self::Role(role) => node.role == *role,
            Self::Tool(name) => node.tool.as_bytes() == name.as_slice(),
            Self::Failed => node.success == Some(false),
            Self::Risk(least) => node.worst.is_some_and(|worst| worst >= *least),
            Self::Text(text) => {
                holds(node.summary.as_bytes(), text) || node.execs.iter().any(|exec| holds(exec.argv.as_block(), text))
            }
        }
    }
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_value_is_refused_with_the_known_ones() {
        let error = Filter::parse("git label:Toool").unwrap_err().to_string();
        assert_eq!(error, "`label:Toool` is not a filter term: one of Agent, Tool, SystemTool, Unknown");
        assert!(Filter::parse("tool:").is_err());
        assert!(Filter::parse("risk:high !role:helper tool:git failed https://x").is_ok());
    }
}
