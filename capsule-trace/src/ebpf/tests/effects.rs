//! What a program did outside itself, against what it says that it did.

use std::path::PathBuf;

use capsule_core::{Effect, EffectKind, RawBody};

use super::{PYTHON, Reader, Recorded, installed, record_with, usable};
use crate::command::Launch;
use crate::ebpf::Bpf;
use crate::tracer::{EffectLevel, TraceOptions};

/// Runs a Python script in a fresh directory.
fn run(level: EffectLevel, script: &str) -> (Recorded, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    let mut launch = Launch::new([PYTHON, "-B", "-c", script]);
    launch.cwd = Some(path.clone());
    let bpf = Bpf::new(TraceOptions { effects: level, ..TraceOptions::default() });
    (record_with(bpf, launch, Reader::Quick, 1 << 24, async |_| ()).unwrap(), path)
}

fn effects(recorded: &Recorded) -> Vec<&Effect> {
    recorded
        .records
        .iter()
        .filter_map(|record| match &record.body {
            RawBody::Effect { effect, .. } => Some(effect),
            _ => None,
        })
        .collect()
}

/// `kind path > to (detail) !errno`, paths below `dir` relative to it; only those in it.
fn files(recorded: &Recorded, dir: &std::path::Path) -> Vec<String> {
    let prefix = format!("{}/", dir.display());
    let short = |path: &capsule_core::ByteString| path.to_lossy().replace(&prefix, "");
    effects(recorded)
        .into_iter()
        .filter(|effect| effect.path.as_ref().is_some_and(|path| path.to_lossy().starts_with(&prefix)))
        .map(|effect| {
            let mut line = format!("{} {}", effect.kind.name(), effect.path.as_ref().map(short).unwrap_or_default());
            if let Some(to) = &effect.to {
                line.push_str(&format!(" > {}", short(to)));
            }
            if let Some(detail) = &effect.detail {
                line.push_str(&format!(" ({detail})"));
            }
            if let Some(errno) = effect.errno {
                line.push_str(&format!(" !{errno}"));
            }
            line
        })
        .collect()
}

#[test]
fn what_happened_to_files_is_told_whatever_call_did_it() {
    if !usable() || !installed(PYTHON) {
        return;
    }
    let script = "
import os
open('new', 'w').write('x')
open('new', 'a').write('y')
open('new').read()
os.mkdir('d', 0o750)
here = os.open('d', os.O_RDONLY)
os.close(os.open('in', os.O_CREAT | os.O_RDWR | os.O_EXCL, dir_fd=here))
try: os.open('in', os.O_CREAT | os.O_RDWR | os.O_EXCL, dir_fd=here)
except FileExistsError: pass
os.rename('in', 'moved', src_dir_fd=here, dst_dir_fd=here)
os.rename('d/moved', 'new')
os.link('new', 'hard')
os.symlink('../elsewhere', 'soft')
os.chmod('new', 0o600)
os.chown('new', 0, 0)
f = os.open('new', os.O_RDWR); os.ftruncate(f, 0); os.fchmod(f, 0o644)
os.truncate('hard', 3)
os.utime('hard')
os.symlink('new', 'link'); os.open('link', os.O_WRONLY)
os.chdir('d'); open('../d/./below', 'w')
os.unlink('below'); os.chdir('..'); os.rmdir('d')
try: os.unlink('gone')
except FileNotFoundError: pass
";
    let (recorded, dir) = run(EffectLevel::Writes, script);
    assert_eq!(
        files(&recorded, &dir),
        [
            "file_create new (O_WRONLY|O_CREAT|O_TRUNC)",
            "file_write new (O_WRONLY|O_CREAT|O_APPEND)",
            "file_create d (0750)",
            "file_create d/in (O_RDWR|O_CREAT|O_EXCL)",
            "file_create d/in (O_RDWR|O_CREAT|O_EXCL) !17",
            "file_rename d/in > d/moved",
            "file_rename d/moved > new",
            "file_create hard > new",
            "file_create soft > ../elsewhere",
            "file_mode new (0600)",
            "file_mode new (0:0)",
            "file_write new (O_RDWR)",
            "file_write new",
            "file_mode new (0644)",
            "file_write hard",
            "file_mode hard",
            "file_create link > new",
            "file_write new (O_WRONLY)",
            "file_create d/below (O_WRONLY|O_CREAT|O_TRUNC)",
            "file_delete d/below",
            "file_delete d",
            "file_delete gone !2",
        ]
    );
}

#[test]
fn reads_are_told_only_where_asked_for() {
    if !usable() || !installed(PYTHON) {
        return;
    }
    let script = "
open('new', 'w').close()
open('new').read()
try: open('missing')
except FileNotFoundError: pass
";
    let (writes, dir) = run(EffectLevel::Writes, script);
    assert_eq!(files(&writes, &dir), ["file_create new (O_WRONLY|O_CREAT|O_TRUNC)"]);
    assert!(effects(&writes).iter().all(|effect| effect.kind != EffectKind::FileRead));
    let (all, dir) = run(EffectLevel::All, script);
    let found = files(&all, &dir);
    assert_eq!(found, ["file_create new (O_WRONLY|O_CREAT|O_TRUNC)", "file_read new"]);
}

#[test]
fn connections_name_the_other_end() {
    if !usable() || !installed(PYTHON) {
        return;
    }
    let script = "
import socket, os
server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen(5)
port = server.getsockname()[1]
client = socket.create_connection(('127.0.0.1', port))
v6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); v6.sendto(b'x', ('::1', 9))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.sendmsg([b'x'], [], 0, ('127.0.0.2', 53))
unix = socket.socket(socket.AF_UNIX); unix.bind('here'); unix.listen(1)
socket.socket(socket.AF_UNIX).connect('here')
abstract = socket.socket(socket.AF_UNIX); abstract.bind(b'\\0name'); abstract.listen(1)
try: socket.create_connection(('127.0.0.1', 1))
except ConnectionRefusedError: pass
open('port', 'w').write(str(port))
import sys; print(port, file=sys.stderr)
";
    let (recorded, dir) = run(EffectLevel::Writes, script);
    assert!(files(&recorded, &dir).contains(&"file_create here".to_owned()));
    let found: Vec<_> = effects(&recorded)
        .into_iter()
        .filter_map(|effect| {
            let end = effect.endpoint.as_ref()?;
            Some((effect.kind.name(), end.protocol.clone(), end.host.to_lossy().into_owned(), end.port, effect.errno))
        })
        .collect();
    let port = found[0].3;
    assert!(port.is_some_and(|port| port > 1023));
    let text =
        |kind, protocol: &str, host: &str, port, errno| (kind, protocol.to_owned(), host.to_owned(), port, errno);
    assert_eq!(
        found,
        [
            text("net_listen", "tcp", "127.0.0.1", port, None),
            text("net_connect", "tcp", "127.0.0.1", port, None),
            text("net_connect", "udp", "::1", Some(9), None),
            text("net_connect", "udp", "127.0.0.2", Some(53), None),
            text("file_create", "unix", "here", None, None),
            text("net_listen", "unix", "here", None, None),
            text("net_connect", "unix", "here", None, None),
            text("net_listen", "unix", "@name", None, None),
            text("net_connect", "tcp", "127.0.0.1", Some(1), Some(111)),
        ]
    );
}

#[test]
fn privileges_mounts_and_tracing_are_told() {
    if !usable() || !installed(PYTHON) || !nix::unistd::getuid().is_root() {
        return;
    }
    let script = "
import os, ctypes, signal
libc = ctypes.CDLL(None, use_errno=True)
libc.unshare(0x00020000)
libc.mount(b'none', b'/proc/nowhere', b'tmpfs', 0, None)
child = os.fork()
if child == 0: signal.pause()
libc.ptrace(16, child, 0, 0)
os.kill(child, 9); os.waitpid(child, 0)
os.setgroups([])
os.setresgid(65534, 65534, -1)
os.setuid(65534)
try: os.setuid(0)
except PermissionError: pass
";
    let (recorded, _dir) = run(EffectLevel::Writes, script);
    let child = recorded.spawns()[1].1;
    let found: Vec<_> = effects(&recorded)
        .into_iter()
        .filter(|effect| matches!(effect.kind, EffectKind::Privilege | EffectKind::Mount | EffectKind::Ptrace))
        .map(|effect| (effect.call.clone(), effect.detail.clone(), effect.errno))
        .collect();
    let text =
        |call: &str, detail: &str, errno| (call.to_owned(), (!detail.is_empty()).then(|| detail.to_owned()), errno);
    assert_eq!(
        found,
        [
            text("unshare", "0x20000", None),
            text("mount", "", Some(2)),
            text("ptrace", &child.to_string(), None),
            text("setgroups", "", None),
            text("setresgid", "65534 65534 -1", None),
            text("setuid", "65534", None),
            text("setuid", "0", Some(1)),
        ]
    );
}

#[test]
fn failed_execs_are_told_beside_effects_unless_unwanted() {
    if !usable() || !installed(PYTHON) {
        return;
    }
    let attempt = |failed_execs| {
        let options = TraceOptions { effects: EffectLevel::Writes, failed_execs, ..TraceOptions::default() };
        let launch = Launch::new(["/bin/sh", "-c", "exec /nonexistent/program one"]);
        let recorded = record_with(Bpf::new(options), launch, Reader::Quick, 1 << 24, async |_| ()).unwrap();
        recorded.failed().iter().map(|(_, argv, errno)| (argv.len(), *errno)).collect::<Vec<_>>()
    };
    assert_eq!(attempt(None), [(2, libc::ENOENT)]);
    assert_eq!(attempt(Some(false)), []);
}
