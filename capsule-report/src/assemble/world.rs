//! What the session did outside its processes: effects, hosts, and what went from one process to another.

use std::collections::{BTreeMap, HashMap, HashSet};

use capsule_core::{ByteString, EffectKind, Endpoint, ProcessNode, ResourceKind};

use super::clean::Cleaner;
use super::files::is_device;
use super::index::Index;
use crate::model::{EffectItem, HostItem, Interaction};
use crate::view::SessionView;

/// How many effects the model lists.
const EFFECTS: usize = 50_000;
/// How many processes each names.
const NAMED: usize = 8;
/// How many interactions the model lists, of each kind.
const LINKS: usize = 1000;

/// Everything that processes did outside themselves, up to a number.
pub(super) fn effects(view: &SessionView, cleaner: &Cleaner) -> Vec<EffectItem> {
    let effects = view.effects.iter().take(EFFECTS);
    effects
        .map(|entry| EffectItem {
            proc: entry.proc.0,
            kind: entry.kind.name().to_owned(),
            call: entry.call.clone(),
            path: entry.path.as_ref().map(|path| cleaner.bytes(path)),
            to: entry.to.as_ref().map(|to| cleaner.bytes(to)),
            endpoint: entry.endpoint.clone().map(|end| Endpoint { host: cleaner.bytes(&end.host), ..end }),
            detail: entry.detail.as_deref().map(|detail| cleaner.text(detail)),
            errno: entry.errno,
            count: entry.count,
            events: (entry.first.0, entry.last.0),
        })
        .collect()
}

/// Hosts that were contacted or served, by the effects; and those that commands only named.
pub(super) fn hosts(view: &SessionView, index: &Index<'_>, cleaner: &Cleaner) -> Vec<HostItem> {
    let mut hosts: BTreeMap<(ByteString, &'static str), HostItem> = BTreeMap::new();
    for entry in &view.effects {
        let how = match entry.kind {
            EffectKind::NetConnect => "connect",
            EffectKind::NetListen => "listen",
            _ => continue,
        };
        let Some(end) = entry.endpoint.as_ref().filter(|end| end.protocol != "unix") else { continue };
        let item = hosts.entry((end.host.clone(), how)).or_insert_with(|| HostItem {
            host: cleaner.bytes(&end.host),
            ports: Vec::new(),
            protocol: end.protocol.clone(),
            how: how.to_owned(),
            count: 0,
            procs: Vec::new(),
            event: Some(entry.first.0),
            local: is_local(end.host.as_bytes()),
            named: false,
        });
        item.count = item.count.saturating_add(entry.count);
        note(item, end.port, entry.proc.0);
    }
    for at in index.operations() {
        let Some(node) = index.node(at) else { continue };
        for resource in &node.resources {
            let (host, port) = match resource.kind {
                ResourceKind::Url => host_of_url(resource.value.as_bytes()),
                ResourceKind::Host => split_port(resource.value.as_bytes()),
                _ => continue,
            };
            if host.is_empty() {
                continue;
            }
            if let Some(seen) = seen(&mut hosts, host, port) {
                // What a program connected to is among its resources, too.
                seen.named |= says(node, host);
                note(seen, port, node.proc.0);
                continue;
            }
            let host = ByteString::new(host);
            let item = hosts.entry((host.clone(), "argument")).or_insert_with(|| HostItem {
                local: is_local(host.as_bytes()),
                host: cleaner.bytes(&host),
                ports: Vec::new(),
                protocol: "named".to_owned(),
                how: "argument".to_owned(),
                count: 0,
                procs: Vec::new(),
                event: None,
                named: true,
            });
            item.count = item.count.saturating_add(1);
            note(item, port, node.proc.0);
        }
    }
    let mut list: Vec<HostItem> = hosts.into_values().collect();
    list.sort_by(|a, b| a.local.cmp(&b.local).then(b.count.cmp(&a.count)).then(a.host.cmp(&b.host)));
    list
}

/// Where a host that a command names was seen to be contacted or served, on the same port where it names one.
fn seen<'a>(
    hosts: &'a mut BTreeMap<(ByteString, &'static str), HostItem>,
    host: &[u8],
    port: Option<u16>,
) -> Option<&'a mut HostItem> {
    // What `localhost` is, everybody agrees on.
    let names: &[&[u8]] = if host == b"localhost" { &[b"localhost", b"127.0.0.1", b"::1"] } else { &[host] };
    let keys = names.iter().flat_map(|name| ["connect", "listen"].map(|how| (ByteString::new(name), how)));
    let key = keys
        .into_iter()
        .find(|key| hosts.get(key).is_some_and(|item| port.is_none_or(|port| item.ports.contains(&port))))?;
    hosts.get_mut(&key)
}

/// Whether a host stands in a process's arguments.
fn says(node: &ProcessNode, host: &[u8]) -> bool {
    node.execs.iter().any(|exec| memchr::memmem::find(exec.argv.as_block(), host).is_some())
}

fn note(item: &mut HostItem, port: Option<u16>, proc: u32) {
    if let Some(port) = port
        && item.ports.len() < NAMED
        && !item.ports.contains(&port)
    {
        item.ports.push(port);
    }
    if item.procs.len() < NAMED && !item.procs.contains(&proc) {
        item.procs.push(proc);
    }
}

/// The host and port of a URL (`git@host:path` included); empty where there is none.
pub(crate) fn host_of_url(url: &[u8]) -> (&[u8], Option<u16>) {
    let authority = match memchr::memmem::find(url, b"://") {
        Some(scheme) => url.get(scheme.saturating_add(3)..).unwrap_or_default(),
        None => match url.iter().position(|byte| *byte == b'@') {
            Some(at) => {
                let rest = url.get(at.saturating_add(1)..).unwrap_or_default();
                let end = rest.iter().position(|byte| matches!(byte, b':' | b'/')).unwrap_or(rest.len());
                return (rest.get(..end).unwrap_or_default(), None);
            }
            None => url,
        },
    };
    let end = authority.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(authority.len());
    let authority = authority.get(..end).unwrap_or_default();
    let host = authority.iter().rposition(|byte| *byte == b'@').map_or(0, |at| at.saturating_add(1));
    split_port(authority.get(host..).unwrap_or_default())
}

fn split_port(host: &[u8]) -> (&[u8], Option<u16>) {
    if let Some(rest) = host.strip_prefix(b"[") {
        let end = rest.iter().position(|byte| *byte == b']').unwrap_or(rest.len());
        let port = rest.get(end.saturating_add(1)..).and_then(|tail| tail.strip_prefix(b":"));
        return (rest.get(..end).unwrap_or_default(), port.and_then(parse_port));
    }
    match host.iter().position(|byte| *byte == b':') {
        Some(colon) if host.iter().filter(|byte| **byte == b':').count() == 1 => {
            (host.get(..colon).unwrap_or_default(), host.get(colon.saturating_add(1)..).and_then(parse_port))
        }
        _ => (host, None),
    }
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn is_local(host: &[u8]) -> bool {
    host == b"localhost" || host == b"::1" || host.starts_with(b"127.") || host == b"0.0.0.0" || host == b"::"
}

/// How processes worked together: pipes, and files that one wrote and another ran or read.
pub(super) fn interactions(view: &SessionView, cleaner: &Cleaner) -> Vec<Interaction> {
    let mut list: Vec<Interaction> = view
        .pipes
        .iter()
        .take(LINKS)
        .map(|link| Interaction {
            kind: "pipe".to_owned(),
            from: link.from.0,
            to: link.to.0,
            path: None,
            events: vec![link.from_event.0, link.to_event.0],
        })
        .collect();
    let mut writers: HashMap<&ByteString, (u32, u64)> = HashMap::new();
    for entry in view.effects.iter().filter(|entry| entry.errno.is_none()) {
        let target = match entry.kind {
            EffectKind::FileWrite | EffectKind::FileCreate => entry.path.as_ref(),
            EffectKind::FileRename => entry.to.as_ref(),
            _ => None,
        };
        if let Some(path) = target.filter(|path| !is_device(path.as_bytes())) {
            writers.entry(path).or_insert((entry.proc.0, entry.first.0));
        }
    }
    if writers.is_empty() {
        return list;
    }
    list.extend(runs(view, &writers, cleaner));
    let mut seen = HashSet::new();
    let reads = view.effects.iter().filter(|entry| entry.kind == EffectKind::FileRead && entry.errno.is_none());
    for entry in reads {
        let Some((path, (writer, written))) =
            entry.path.as_ref().and_then(|path| writers.get(path).map(|by| (path, *by)))
        else {
            continue;
        };
        if writer != entry.proc.0
            && written < entry.last.0
            && seen.insert((writer, entry.proc.0))
            && seen.len() <= LINKS
        {
            list.push(Interaction {
                kind: "written_then_read".to_owned(),
                from: writer,
                to: entry.proc.0,
                path: Some(cleaner.bytes(path)),
                events: vec![written, entry.last.0],
            });
        }
    }
    list
}

/// Files that one process wrote and another executed, as a program or as a script.
fn runs(view: &SessionView, writers: &HashMap<&ByteString, (u32, u64)>, cleaner: &Cleaner) -> Vec<Interaction> {
    let mut list = Vec::new();
    for node in &view.tree.nodes {
        for exec in &node.execs {
            let script = exec.argv.get(1).map(|arg| absolute(arg, exec.cwd.as_ref()));
            let names = [exec.exe.clone(), exec.filename.clone(), script];
            let found = names.iter().flatten().find_map(|name| writers.get_key_value(name));
            if let Some((path, (writer, written))) = found
                && *writer != node.proc.0
                && *written < exec.event.0
                && list.len() < LINKS
            {
                list.push(Interaction {
                    kind: "written_then_run".to_owned(),
                    from: *writer,
                    to: node.proc.0,
                    path: Some(cleaner.bytes(path)),
                    events: vec![*written, exec.event.0],
                });
            }
        }
    }
    list
}

fn absolute(path: &[u8], cwd: Option<&ByteString>) -> ByteString {
    match cwd {
        Some(cwd) if !path.starts_with(b"/") => {
            let mut joined = cwd.as_bytes().to_vec();
            if !joined.ends_with(b"/") {
                joined.push(b'/');
            }
            joined.extend_from_slice(path.strip_prefix(b"./").unwrap_or(path));
            ByteString::from(joined)
        }
        _ => ByteString::new(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_yield_their_host_not_their_credentials() {
        let of = |url: &'static str| {
            let (host, port) = host_of_url(url.as_bytes());
            (std::str::from_utf8(host).unwrap(), port)
        };
        assert_eq!(of("https://user:pass@example.org:8443/a@b?c#d"), ("example.org", Some(8443)));
        assert_eq!(of("git@github.com:owner/repo.git"), ("github.com", None));
        assert_eq!(of("http://[2001:db8::1]:80/x"), ("2001:db8::1", Some(80)));
        assert_eq!(of("https://evil.example"), ("evil.example", None));
    }
}
