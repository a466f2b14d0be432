//! The JSON forms of `capsule-core`'s types, for schemas only: nothing is ever made of these types.

#![allow(dead_code, reason = "types that only describe JSON are never constructed")]

use std::collections::BTreeMap;

use schemars::JsonSchema;

/// Bytes that are usually text: a string where they are UTF-8.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Bytes {
    /// The text.
    Text(String),
    /// Bytes that are not UTF-8.
    Raw {
        /// With U+FFFD for what is not UTF-8.
        lossy: String,
        /// The bytes.
        base64: String,
    },
}

/// How bad a finding is.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

/// What a process is.
#[derive(JsonSchema)]
pub(crate) enum Label {
    Agent,
    Tool,
    SystemTool,
    Unknown,
}

/// What kind of work a process does.
#[derive(JsonSchema)]
pub(crate) enum Workflow {
    FileAnalysis,
    NetworkCommunication,
    CodeGeneration,
    RepositoryOperation,
    SystemExploration,
    SecurityOperation,
}

/// Why a process exists.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum Role {
    Agent,
    Asked,
    Wrapper,
    Helper,
    Inner,
}

/// What kind of thing a process used.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum ResourceKind {
    Path,
    Url,
    Host,
    Package,
    Repository,
}

/// Something that a process used.
#[derive(JsonSchema)]
pub(crate) struct Resource {
    kind: ResourceKind,
    value: Bytes,
}

/// A line of `raw.jsonl`: what the tracer handed over.
#[derive(JsonSchema)]
pub(crate) struct Raw {
    seq: u64,
    /// Nanoseconds since the Unix epoch.
    timestamp: u64,
    kind: RawKind,
    pid: Option<u32>,
    ppid: Option<u32>,
    how: Option<SpawnKind>,
    tid: Option<u32>,
    from_tid: Option<u32>,
    filename: Option<Bytes>,
    argv: Option<Vec<Bytes>>,
    snapshot: Option<Snapshot>,
    errno: Option<i32>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    core_dumped: Option<bool>,
    rusage: Option<ResourceUsage>,
    effect: Option<Effect>,
    source: Option<Backend>,
    text: Option<Bytes>,
    count: Option<u64>,
    since: Option<u64>,
    reason: Option<String>,
    chain: Option<Chain>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum RawKind {
    Spawn,
    Thread,
    Exec,
    ExecFailed,
    Exit,
    LeftRunning,
    Effect,
    Line,
    Loss,
}

/// 64 hex digits: BLAKE3 over the line and the chain before it.
#[derive(JsonSchema)]
pub(crate) struct Chain(#[schemars(regex(pattern = "^[0-9a-f]{64}$"))] String);

/// How a process came to be.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum SpawnKind {
    Root,
    Fork,
    Vfork,
    Clone,
    Attached,
}

/// A way of watching processes.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum Backend {
    Ptrace,
    Ebpf,
    Strace,
    Dtrace,
    Eslogger,
    Replay,
}

/// How a fact came to be known.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Origin {
    Stopped,
    Kernel,
    Trace,
    Procfs,
}

#[derive(JsonSchema)]
pub(crate) struct Ids {
    uid: u32,
    euid: u32,
    gid: u32,
    egid: u32,
}

#[derive(JsonSchema)]
pub(crate) struct OpenFile {
    fd: u32,
    target: Bytes,
}

/// An environment: whole at its first mention in a stream, by its number afterwards.
#[derive(JsonSchema)]
pub(crate) struct Environment {
    id: u32,
    names: Option<Vec<Bytes>>,
    #[serde(default)]
    values: BTreeMap<String, Bytes>,
}

#[derive(JsonSchema)]
pub(crate) struct Snapshot {
    origin: Origin,
    exe: Option<Bytes>,
    cwd: Option<Bytes>,
    ids: Option<Ids>,
    tty: Option<Bytes>,
    sid: Option<u32>,
    pgid: Option<u32>,
    cgroup: Option<Bytes>,
    env: Option<Environment>,
    fds: Option<Vec<OpenFile>>,
    ns_pid: Option<u32>,
}

/// What a process was at a moment. `origin` says how facts are known (`all`, and exceptions by name), `absent` why others are not.
#[derive(JsonSchema)]
pub(crate) struct Context {
    exe: Option<Bytes>,
    cwd: Option<Bytes>,
    ids: Option<Ids>,
    user: Option<String>,
    group: Option<String>,
    tty: Option<Bytes>,
    sid: Option<u32>,
    pgid: Option<u32>,
    cgroup: Option<Bytes>,
    container: Option<String>,
    ns_pid: Option<u32>,
    env: Option<Environment>,
    fds: Option<Vec<OpenFile>>,
    origin: BTreeMap<String, Origin>,
    #[serde(default)]
    absent: BTreeMap<String, String>,
}

/// What a process used (`getrusage(2)`).
#[derive(JsonSchema)]
pub(crate) struct ResourceUsage {
    user_us: u64,
    system_us: u64,
    max_rss_kib: u64,
    major_faults: u64,
    blocks_in: u64,
    blocks_out: u64,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum EffectKind {
    FileWrite,
    FileCreate,
    FileDelete,
    FileRename,
    FileMode,
    FileRead,
    NetConnect,
    NetListen,
    Privilege,
    Ptrace,
    Mount,
    Handoff,
}

#[derive(JsonSchema)]
pub(crate) struct Endpoint {
    protocol: String,
    host: Bytes,
    port: Option<u16>,
}

#[derive(JsonSchema)]
pub(crate) struct Effect {
    kind: EffectKind,
    call: String,
    path: Option<Bytes>,
    to: Option<Bytes>,
    endpoint: Option<Endpoint>,
    detail: Option<String>,
    errno: Option<i32>,
    before: Option<FileState>,
}

/// What was at a path; with `--snapshots`, before a call changed it and when the session ended.
#[derive(JsonSchema)]
pub(crate) struct FileState {
    kind: FileKind,
    /// The twelve lowest bits.
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    /// BLAKE3, 64 hex digits: the content's name in `before/`.
    content: Option<String>,
    /// What a symbolic link holds.
    target: Option<Bytes>,
    /// Why the content was not kept.
    not_kept: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum FileKind {
    Absent,
    File,
    Directory,
    Link,
    Other,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum EventType {
    Spawn,
    Exec,
    ExecFailed,
    Exit,
    LeftRunning,
    Gap,
    Diagnostic,
    FileWrite,
    FileCreate,
    FileDelete,
    FileRename,
    FileMode,
    FileRead,
    NetConnect,
    NetListen,
    Privilege,
    Ptrace,
    Mount,
    Handoff,
}

/// A line of `events.jsonl`, and with `context` of `enriched.jsonl`: what happened to a process, the same for every tracer.
#[derive(JsonSchema)]
pub(crate) struct Event {
    seq: u64,
    /// Nanoseconds since the Unix epoch.
    timestamp: u64,
    pid: u32,
    ppid: Option<u32>,
    event_type: EventType,
    command_line: Vec<Bytes>,
    working_dir: Option<Bytes>,
    exit_code: Option<i32>,
    /// The record of `raw.jsonl` it was made from.
    raw: u64,
    exe: Option<Bytes>,
    filename: Option<Bytes>,
    from_tid: Option<u32>,
    spawn: Option<SpawnKind>,
    signal: Option<i32>,
    core_dumped: Option<bool>,
    errno: Option<i32>,
    rusage: Option<ResourceUsage>,
    call: Option<String>,
    path: Option<Bytes>,
    to: Option<Bytes>,
    endpoint: Option<Endpoint>,
    detail: Option<String>,
    /// What was there before, with `--snapshots`: at `to` for a rename.
    before: Option<FileState>,
    count: Option<u64>,
    since: Option<u64>,
    reason: Option<String>,
    context: Option<Context>,
    chain: Option<Chain>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum Phase {
    Provisional,
    Final,
}

/// A line of `actions.jsonl`: what a process was for.
#[derive(JsonSchema)]
pub(crate) struct Action {
    seq: u64,
    timestamp: u64,
    proc: u32,
    pid: u32,
    /// The record of `enriched.jsonl` that gave rise to it.
    event: u64,
    phase: Phase,
    label: Label,
    workflow: Option<Workflow>,
    role: Role,
    tool: Bytes,
    summary: Bytes,
    #[serde(default)]
    resources: Vec<Resource>,
    /// Nanoseconds.
    duration: Option<u64>,
    success: Option<bool>,
    rule: String,
    chain: Option<Chain>,
}

#[derive(JsonSchema)]
pub(crate) struct Evidence {
    procs: Vec<u32>,
    events: Vec<u64>,
}

/// A line of `risks.jsonl`: something risky.
#[derive(JsonSchema)]
pub(crate) struct Risk {
    seq: u64,
    timestamp: u64,
    proc: u32,
    pid: u32,
    severity: Severity,
    category: String,
    rule: String,
    title: String,
    why: String,
    #[serde(default)]
    attack: Vec<String>,
    evidence: Evidence,
    innocent: Option<String>,
    adjusted: Option<String>,
    corrects: Option<u64>,
    chain: Option<Chain>,
}

/// `tree.json`: all processes of a session; number n is at index n - 1.
#[derive(JsonSchema)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

#[derive(JsonSchema)]
#[schemars(tag = "state", rename_all = "snake_case")]
pub(crate) enum Life {
    Running,
    Exited {
        at: u64,
        code: Option<i32>,
        signal: Option<i32>,
        #[serde(default)]
        core_dumped: bool,
        event: u64,
    },
    LeftRunning {
        at: u64,
        event: u64,
    },
    Lost,
}

#[derive(JsonSchema)]
pub(crate) struct ExecRecord {
    event: u64,
    at: u64,
    argv: Vec<Bytes>,
    exe: Option<Bytes>,
    filename: Option<Bytes>,
    cwd: Option<Bytes>,
}

#[derive(JsonSchema)]
pub(crate) struct Node {
    proc: u32,
    parent: Option<u32>,
    pid: u32,
    depth: u32,
    started: u64,
    spawn: Option<SpawnKind>,
    event: u64,
    execs: Vec<ExecRecord>,
    failed_execs: u32,
    life: Life,
    rusage: Option<ResourceUsage>,
    label: Label,
    workflow: Option<Workflow>,
    role: Role,
    tool: Bytes,
    summary: Bytes,
    #[serde(default)]
    resources: Vec<Resource>,
    success: Option<bool>,
    rule: String,
    worst: Option<Severity>,
    #[serde(default)]
    risks: Vec<u64>,
}

#[derive(JsonSchema)]
pub(crate) struct FormatVersion {
    major: u32,
    minor: u32,
}

#[derive(JsonSchema)]
#[schemars(tag = "state", rename_all = "snake_case")]
pub(crate) enum Status {
    Incomplete,
    Complete,
    Interrupted { signal: i32 },
    Failed { stage: String, reason: String },
}

#[derive(JsonSchema)]
pub(crate) struct Host {
    name: String,
    os: String,
    kernel: String,
    arch: String,
}

#[derive(JsonSchema)]
pub(crate) struct User {
    uid: u32,
    name: Option<String>,
}

#[derive(JsonSchema)]
pub(crate) struct Tracer {
    backend: Backend,
    because: String,
}

#[derive(JsonSchema)]
pub(crate) struct Coverage {
    backend: Backend,
    hooks: Vec<String>,
    lost: u64,
    not_seen: Vec<String>,
}

#[derive(JsonSchema)]
pub(crate) struct LeftRunning {
    proc: u32,
    pid: u32,
    summary: Bytes,
}

#[derive(JsonSchema)]
pub(crate) struct Git {
    commit: Option<String>,
    branch: Option<String>,
}

#[derive(JsonSchema)]
pub(crate) struct StreamSeal {
    records: u64,
    bytes: u64,
    head: String,
}

/// `metadata.json`: everything about a session that is not a record.
#[derive(JsonSchema)]
pub(crate) struct Metadata {
    format: FormatVersion,
    id: String,
    capsule: String,
    status: Status,
    started: u64,
    ended: Option<u64>,
    command: Vec<Bytes>,
    cwd: Bytes,
    host: Host,
    user: User,
    tracer: Tracer,
    recorder: u32,
    coverage: Option<Coverage>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    processes: Option<u64>,
    worst: Option<Severity>,
    #[serde(default)]
    left_running: Vec<LeftRunning>,
    git_start: Option<Git>,
    git_end: Option<Git>,
    imported: Option<String>,
    /// By stream: `raw`, `events`, `enriched`, `risks`, `actions`.
    #[serde(default)]
    streams: BTreeMap<String, StreamSeal>,
    /// BLAKE3 of `tree.json`, 64 hex digits.
    tree: Option<String>,
    keyed: Option<String>,
    /// Which files of the work tree changed; only where effects were not recorded.
    work_tree: Option<WorkTree>,
    /// What was kept with `--snapshots`.
    snapshots: Option<Snapshots>,
    /// The changed files of the project and outside it when the session ended, where neither of the two above says so.
    changed: Option<ChangedFiles>,
    /// What git would say.
    git_diff: Option<GitDiff>,
    /// What others did to the session's files while it was recorded, each in plain words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    disturbances: Vec<String>,
}

#[derive(JsonSchema)]
pub(crate) struct Snapshots {
    /// How many contents are in `before/`.
    kept: u64,
    bytes: u64,
    /// How many were not kept.
    not_kept: u64,
    /// BLAKE3 of the contents' names, in order, each with a newline; 64 hex digits.
    names: String,
    /// The changed files when the session ended.
    ended: Vec<EndedFile>,
    /// How many more were changed.
    more: u64,
}

#[derive(JsonSchema)]
pub(crate) struct ChangedFiles {
    ended: Vec<EndedFile>,
    /// How many more were changed.
    more: u64,
}

/// What differs between the commit that the session began with and the work tree that it left.
#[derive(JsonSchema)]
pub(crate) struct GitDiff {
    root: Bytes,
    from: String,
    files: Vec<GitChange>,
    /// How many more differ.
    more: u64,
    /// Lines, in all files.
    added: u64,
    removed: u64,
    /// Why git does not show other files that the session changed.
    #[serde(default)]
    others: Vec<GitOther>,
    /// Why not everything was compared.
    incomplete: Option<String>,
}

#[derive(JsonSchema)]
pub(crate) struct GitChange {
    /// From the work tree's directory.
    path: Bytes,
    change: TreeChangeKind,
    added: Option<u64>,
    removed: Option<u64>,
    /// Whether the last commit has it as it is now.
    #[serde(default)]
    committed: bool,
    /// Whether it was last changed before the session began.
    #[serde(default)]
    earlier: bool,
    /// BLAKE3 of the content, 64 hex digits.
    before: Option<String>,
    after: Option<String>,
}

#[derive(JsonSchema)]
pub(crate) struct GitOther {
    path: Bytes,
    why: GitWhy,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum GitWhy {
    Outside,
    Nested,
    Ignored,
    Untracked,
    Unchanged,
    Gone,
}

#[derive(JsonSchema)]
pub(crate) struct EndedFile {
    path: Bytes,
    state: FileState,
}

#[derive(JsonSchema)]
pub(crate) struct WorkTree {
    root: Bytes,
    /// How many files were compared.
    files: u64,
    /// Why not all were.
    incomplete: Option<String>,
    changes: Vec<TreeChange>,
    /// How many more differences there are.
    more: u64,
}

#[derive(JsonSchema)]
pub(crate) struct TreeChange {
    path: Bytes,
    change: TreeChangeKind,
    /// BLAKE3 of the content, 64 hex digits.
    before: Option<String>,
    after: Option<String>,
    size: Option<u64>,
    /// The commands that had ended when it was found changed.
    #[serde(default)]
    procs: Vec<u32>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum TreeChangeKind {
    Created,
    Written,
    Deleted,
    Mode,
}
