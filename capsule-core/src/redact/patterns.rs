//! The literals that every detector starts from, in one automaton, and the providers' key formats.
//!
//! The formats are those that the public rule sets of secret scanners agree on: a literal prefix, an alphabet, a
//! length. They are matched by hand, not by regex, because a hit's run of key characters can then
//! be remembered: however many prefixes a hostile text holds, each byte is looked at once per alphabet.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// The alphabet of a key's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// `0-9a-zA-Z`
    Alnum,
    /// `0-9a-zA-Z_-`
    Word,
    /// `0-9a-fA-F`
    Hex,
    /// `0-9a-zA-Z_.=/+:-`
    Wide,
}

impl Alphabet {
    pub(super) const COUNT: usize = 4;

    pub(super) const fn has(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Wide => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'=' | b'/' | b'+' | b':' | b'-')
            }
        }
    }
}

/// A provider's key format.
#[derive(Debug)]
pub(super) struct Format {
    pub(super) prefix: &'static str,
    pub(super) kind: &'static str,
    pub(super) alphabet: Alphabet,
    /// Fewest characters after the prefix.
    pub(super) min: usize,
    /// Whether it must not follow a letter or digit: for prefixes that occur inside words.
    pub(super) apart: bool,
    /// Whether a digit must be in it: for prefixes that begin ordinary names.
    pub(super) digit: bool,
}

const fn format(prefix: &'static str, kind: &'static str, alphabet: Alphabet, min: usize) -> Format {
    Format { prefix, kind, alphabet, min, apart: false, digit: false }
}

const fn shy(prefix: &'static str, kind: &'static str, alphabet: Alphabet, min: usize) -> Format {
    Format { prefix, kind, alphabet, min, apart: true, digit: true }
}

use Alphabet::{Alnum, Hex, Wide, Word};

/// Sources: the providers' own documentation of their formats, and the rules of gitleaks and trufflehog.
pub(super) const FORMATS: &[Format] = &[
    shy("AKIA", "aws-access-key", Alnum, 16),
    shy("ASIA", "aws-access-key", Alnum, 16),
    shy("ABIA", "aws-access-key", Alnum, 16),
    shy("ACCA", "aws-access-key", Alnum, 16),
    format("ABSKQmVkcm9ja0FQSUtleS", "aws-bedrock-key", Wide, 40),
    format("ghp_", "github-token", Alnum, 30),
    format("gho_", "github-token", Alnum, 30),
    format("ghu_", "github-token", Alnum, 30),
    format("ghs_", "github-token", Word, 30),
    format("ghr_", "github-token", Alnum, 30),
    format("github_pat_", "github-token", Word, 22),
    format("glpat-", "gitlab-token", Wide, 20),
    format("gldt-", "gitlab-token", Word, 20),
    format("glrt-", "gitlab-token", Word, 20),
    format("glptt-", "gitlab-token", Word, 20),
    format("glsoat-", "gitlab-token", Word, 20),
    format("glcbt-", "gitlab-token", Word, 20),
    format("glagent-", "gitlab-token", Word, 20),
    format("gloas-", "gitlab-token", Word, 20),
    format("GR1348941", "gitlab-token", Word, 20),
    format("xoxa-", "slack-token", Word, 10),
    format("xoxb-", "slack-token", Word, 10),
    format("xoxc-", "slack-token", Word, 10),
    format("xoxd-", "slack-token", Wide, 10),
    format("xoxe-", "slack-token", Word, 10),
    format("xoxe.xox", "slack-token", Word, 10),
    format("xoxp-", "slack-token", Word, 10),
    format("xoxr-", "slack-token", Word, 10),
    format("xoxs-", "slack-token", Word, 10),
    format("xapp-", "slack-token", Word, 20),
    format("hooks.slack.com/services/", "slack-webhook", Wide, 20),
    format("discord.com/api/webhooks/", "discord-webhook", Wide, 20),
    format("sk-ant-", "anthropic-key", Word, 16),
    format("sk-proj-", "openai-key", Word, 20),
    format("sk-svcacct-", "openai-key", Word, 20),
    format("sk-admin-", "openai-key", Word, 20),
    format("sk-or-v1-", "openrouter-key", Hex, 32),
    shy("sk-", "openai-key", Alnum, 20),
    format("AIza", "google-key", Word, 35),
    format("GOCSPX-", "google-client-secret", Word, 20),
    format("ya29.", "google-token", Wide, 20),
    format("sk_live_", "stripe-key", Alnum, 10),
    format("sk_test_", "stripe-key", Alnum, 10),
    format("rk_live_", "stripe-key", Alnum, 10),
    format("rk_test_", "stripe-key", Alnum, 10),
    format("whsec_", "stripe-key", Wide, 20),
    shy("npm_", "npm-token", Alnum, 30),
    format("pypi-Ag", "pypi-token", Word, 40),
    // Letters only, the most of them.
    Format { prefix: "hf_", kind: "huggingface-token", alphabet: Alnum, min: 34, apart: true, digit: false },
    Format { prefix: "api_org_", kind: "huggingface-token", alphabet: Alnum, min: 30, apart: true, digit: false },
    format("SG.", "sendgrid-key", Wide, 60),
    shy("SK", "twilio-key", Hex, 32),
    format("shpat_", "shopify-token", Hex, 32),
    format("shpca_", "shopify-token", Hex, 32),
    format("shppa_", "shopify-token", Hex, 32),
    format("shpss_", "shopify-token", Hex, 32),
    format("dop_v1_", "digitalocean-token", Hex, 40),
    format("doo_v1_", "digitalocean-token", Hex, 40),
    format("dor_v1_", "digitalocean-token", Hex, 40),
    format("dp.pt.", "doppler-token", Alnum, 40),
    format("dp.st.", "doppler-token", Wide, 40),
    shy("dapi", "databricks-token", Hex, 32),
    format("AGE-SECRET-KEY-1", "age-key", Alnum, 50),
    format("hvs.", "vault-token", Word, 20),
    format("hvb.", "vault-token", Word, 20),
    format("lin_api_", "linear-key", Alnum, 30),
    format("ntn_", "notion-token", Alnum, 40),
    format("figd_", "figma-token", Word, 30),
    format("PMAK-", "postman-key", Word, 40),
    shy("pul-", "pulumi-token", Hex, 40),
    format("pscale_tkn_", "planetscale-token", Wide, 20),
    format("pscale_pw_", "planetscale-token", Wide, 20),
    format("glsa_", "grafana-token", Word, 32),
    format("glc_eyJ", "grafana-token", Wide, 32),
    format("NRAK-", "newrelic-key", Alnum, 20),
    format("ATATT3", "atlassian-token", Wide, 60),
    format("ATCTT3", "atlassian-token", Wide, 60),
    format("fm1_", "fly-token", Wide, 60),
    format("fm2_", "fly-token", Wide, 60),
    format("sbp_", "supabase-token", Hex, 32),
    format("sb_secret_", "supabase-token", Word, 20),
    shy("r8_", "replicate-token", Alnum, 30),
    format("gsk_", "groq-key", Alnum, 40),
    shy("xai-", "xai-key", Alnum, 40),
    format("pplx-", "perplexity-key", Alnum, 40),
    format("tskey-", "tailscale-key", Word, 16),
    format(".atlasv1.", "terraform-token", Wide, 40),
    format("rubygems_", "rubygems-token", Hex, 40),
    format("dckr_pat_", "docker-token", Word, 20),
    format("dckr_oat_", "docker-token", Word, 20),
    format("SWMTKN-1-", "docker-swarm-token", Word, 30),
    format("lsv2_pt_", "langsmith-key", Word, 30),
    format("lsv2_sk_", "langsmith-key", Word, 30),
    format("sntrys_eyJ", "sentry-token", Wide, 40),
    format("sntryu_", "sentry-token", Hex, 40),
    format("sq0atp-", "square-token", Word, 20),
    format("sq0csp-", "square-token", Word, 20),
    format("HRKU-", "heroku-key", Word, 30),
    format("nfp_", "netlify-token", Alnum, 30),
    format("ops_eyJ", "onepassword-token", Wide, 60),
    format("PRIVATE-TOKEN-", "token", Word, 20),
];

/// What a hit of the automaton starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trigger {
    /// A provider's key: an index into [`FORMATS`].
    Format(usize),
    /// `eyJ`: perhaps a JSON Web Token.
    Jwt,
    /// The beginning of a PEM block.
    Pem,
    /// A tag that an earlier redaction left.
    Tag,
    /// `://`: perhaps a URL with credentials.
    Url,
    /// `bearer `, outside of a header.
    Bearer,
    /// `:AA`: perhaps a Telegram bot's token.
    Telegram,
    /// `identified by`, `with password`: SQL.
    Sql,
    /// Part of a name that may have a secret beside it.
    Name(SecretWord),
    /// Only says that the words deserve a look: a program that takes secrets.
    Program,
}

/// The secret-like word that was found in a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretWord {
    /// password, passwd, passphrase
    Password,
    /// pass, pwd: only as a part of their own
    Pass,
    /// secret, credential
    Secret,
    /// token, jwt
    Token,
    /// key: only after what makes it one to protect
    Key,
    /// authorization
    Authorization,
    /// auth: only as the last part
    Auth,
    /// cookie
    Cookie,
    /// signature in a query
    Signature,
}

const NAMES: &[(&str, SecretWord)] = &[
    ("password", SecretWord::Password),
    ("passwd", SecretWord::Password),
    ("passphrase", SecretWord::Password),
    ("pass", SecretWord::Pass),
    ("pwd", SecretWord::Pass),
    ("pswd", SecretWord::Pass),
    ("secret", SecretWord::Secret),
    ("credential", SecretWord::Secret),
    ("token", SecretWord::Token),
    ("jwt", SecretWord::Token),
    ("key", SecretWord::Key),
    ("authorization", SecretWord::Authorization),
    ("auth", SecretWord::Auth),
    ("cookie", SecretWord::Cookie),
    ("sig=", SecretWord::Signature),
    ("signature=", SecretWord::Signature),
];

const PROGRAMS: &[&str] = &[
    "curl",
    "mysql",
    "mariadb",
    "redis-cli",
    "openssl",
    "ldap",
    "smbclient",
    "mongo",
    "mosquitto",
    "zip",
    "7z",
    "docker",
    "podman",
    "htpasswd",
    "sqlcmd",
    "http ",
    "https ",
    "http\0",
    "https\0",
    "az login",
    "az\0login",
    "helm",
    "nerdctl",
    "skopeo",
    "buildah",
    "rar",
    "gpg",
    "sudo",
    "wget",
    "lftp",
    "ftp",
    "chpasswd",
    "psql",
    "npm",
    "vault",
    "twine",
    "xh",
];

struct Table {
    automaton: AhoCorasick,
    triggers: Vec<Trigger>,
}

static TABLE: LazyLock<Option<Table>> = LazyLock::new(|| {
    let mut literals: Vec<&str> = Vec::new();
    let mut triggers = Vec::new();
    let mut add = |literal: &'static str, trigger| {
        literals.push(literal);
        triggers.push(trigger);
    };
    for (index, format) in FORMATS.iter().enumerate() {
        add(format.prefix, Trigger::Format(index));
    }
    for (name, word) in NAMES {
        add(name, Trigger::Name(*word));
    }
    for program in PROGRAMS {
        add(program, Trigger::Program);
    }
    add("eyJ", Trigger::Jwt);
    add("-----BEGIN", Trigger::Pem);
    add("[redacted:", Trigger::Tag);
    add("://", Trigger::Url);
    add("bearer ", Trigger::Bearer);
    add(":AA", Trigger::Telegram);
    add("identified by", Trigger::Sql);
    let automaton =
        AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA)).build(&literals).ok()?;
    Some(Table { automaton, triggers })
});

/// Whether any detector has anything to start from in `text`. No automaton (it cannot fail to build) means yes.
pub(super) fn may_hold_secret(text: &[u8]) -> bool {
    TABLE.as_ref().is_none_or(|table| table.automaton.is_match(text))
}

/// Every hit in `text`, overlapping ones too, by their ends: where it starts, where it ends, what it starts.
pub(super) fn hits(text: &[u8]) -> impl Iterator<Item = (usize, usize, Trigger)> {
    TABLE.iter().flat_map(move |table| {
        table.automaton.find_overlapping_iter(text).filter_map(|found| {
            let trigger = table.triggers.get(found.pattern().as_usize())?;
            Some((found.start(), found.end(), *trigger))
        })
    })
}

/// Whether `kind` says more than that a secret-like name stood beside the value.
pub(super) fn is_specific(kind: &str) -> bool {
    kind == "jwt" || kind == "private-key" || FORMATS.iter().any(|format| format.kind == kind && kind != "token")
}
