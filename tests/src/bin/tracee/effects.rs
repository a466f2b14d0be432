//! Uses every call that changes something outside a process, once, in the directory where it runs: relative and absolute
//! paths, descriptors of directories, failures too. The same calls with the same results on every kernel that knows them.

use std::ffi::{CString, c_char, c_long, c_void};
use std::mem::{size_of, zeroed};

const NONE: i32 = libc::AT_FDCWD;

fn text(path: &str) -> CString {
    CString::new(path).unwrap()
}

/// Everything, one after the other. Results are ignored: what they were is what the tracers are to tell.
pub(super) fn all() {
    files();
    names();
    attributes();
    sockets();
    privileges();
}

fn open(dir: i32, path: &str, flags: i32) -> i32 {
    let path = text(path);
    unsafe { libc::syscall(libc::SYS_openat, dir, path.as_ptr(), flags, 0o644) as i32 }
}

fn files() {
    let here = open(NONE, ".", libc::O_RDONLY | libc::O_DIRECTORY);
    let close = |fd: i32| unsafe { libc::close(fd) };
    close(open(NONE, "made", libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL));
    close(open(here, "made-at", libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL));
    close(open(NONE, "made", libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL));
    close(open(NONE, "kept", libc::O_WRONLY | libc::O_APPEND));
    close(open(NONE, "cut", libc::O_WRONLY | libc::O_TRUNC));
    close(open(NONE, "missing/file", libc::O_WRONLY | libc::O_CREAT));
    let unnamed = open(NONE, ".", libc::O_RDWR | libc::O_TMPFILE);
    unsafe {
        libc::ftruncate(unnamed, 3);
        close(unnamed);
        let how = [(libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL) as u64, 0o600, 0];
        let name = text("made-2");
        close(libc::syscall(libc::SYS_openat2, here, name.as_ptr(), how.as_ptr(), size_of::<[u64; 3]>()) as i32);
        #[cfg(target_arch = "x86_64")]
        {
            let (opened, created) = (text("old-open"), text("old-creat"));
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
            close(libc::syscall(libc::SYS_open, opened.as_ptr(), flags, 0o644) as i32);
            close(libc::syscall(libc::SYS_creat, created.as_ptr(), 0o644) as i32);
        }
        libc::truncate(text("kept").as_ptr(), 1);
        let memory = libc::memfd_create(text("scratch").as_ptr(), 0);
        libc::ftruncate(memory, 10);
        close(memory);
    }
    close(here);
    handles();
    unnamed_ones();
}

/// A file opened by its handle, which needs a privilege: without it nothing is tried.
fn handles() {
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    // `struct file_handle`: how many bytes follow, of what kind, and they.
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let mut mount = 0;
    unsafe {
        let name = text("by-handle");
        libc::syscall(libc::SYS_name_to_handle_at, NONE, name.as_ptr(), handle.as_mut_ptr(), &raw mut mount, 0);
        let here = open(NONE, ".", libc::O_RDONLY | libc::O_DIRECTORY);
        let flags = libc::O_WRONLY | libc::O_TRUNC;
        let file = libc::syscall(libc::SYS_open_by_handle_at, here, handle.as_mut_ptr(), flags) as i32;
        libc::close(file);
        libc::close(here);
    }
}

/// Files made without a name that are given one, and memory that is written to like a file.
fn unnamed_ones() {
    unsafe {
        let unnamed = open(NONE, ".", libc::O_WRONLY | libc::O_TMPFILE);
        let through = text(&format!("/proc/self/fd/{unnamed}"));
        libc::linkat(NONE, through.as_ptr(), NONE, text("named").as_ptr(), libc::AT_SYMLINK_FOLLOW);
        libc::close(unnamed);
        let memory = libc::memfd_create(text("scratch").as_ptr(), 0);
        libc::close(open(NONE, &format!("/proc/self/fd/{memory}"), libc::O_WRONLY));
        libc::close(memory);
    }
}

/// Asks for a ring of io_uring. Ends with 1 where the kernel refuses one.
pub(super) fn ring() -> i32 {
    // `struct io_uring_params` is 120 bytes.
    let mut parameters = [0_u64; 15];
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()) };
    i32::from(ring < 0)
}

fn names() {
    let here = open(NONE, ".", libc::O_RDONLY | libc::O_DIRECTORY);
    unsafe {
        libc::mkdir(text("dir").as_ptr(), 0o755);
        libc::mkdirat(here, text("dir/below").as_ptr(), 0o700);
        libc::rmdir(text("gone-dir").as_ptr());
        libc::rename(text("old").as_ptr(), text("new").as_ptr());
        libc::renameat(here, text("old-at").as_ptr(), here, text("dir/new-at").as_ptr());
        let (from, to) = (text("over"), text("under"));
        libc::syscall(libc::SYS_renameat2, here, from.as_ptr(), NONE, to.as_ptr(), 0);
        libc::rename(text("missing").as_ptr(), text("nowhere").as_ptr());
        let (one, other) = (text("swap-one"), text("swap-other"));
        libc::syscall(libc::SYS_renameat2, here, one.as_ptr(), NONE, other.as_ptr(), libc::RENAME_EXCHANGE);
        let (from, to) = (text("swap-one"), text("kept"));
        libc::syscall(libc::SYS_renameat2, NONE, from.as_ptr(), here, to.as_ptr(), libc::RENAME_NOREPLACE);
        // Through a descriptor of the directory, as some runtimes save files.
        let (from, to) = (format!("/proc/self/fd/{here}/made-at"), format!("/proc/self/fd/{here}/renamed-at"));
        libc::rename(text(&from).as_ptr(), text(&to).as_ptr());
        libc::link(text("kept").as_ptr(), text("hard").as_ptr());
        libc::linkat(here, text("kept").as_ptr(), here, text("dir/hard-at").as_ptr(), 0);
        libc::symlink(text("../kept").as_ptr(), text("soft").as_ptr());
        libc::symlinkat(text("kept").as_ptr(), here, text("soft-at").as_ptr());
        libc::unlink(text("gone").as_ptr());
        libc::unlinkat(here, text("gone-at").as_ptr(), 0);
        libc::unlink(text("never").as_ptr());
        libc::mknod(text("pipe").as_ptr(), libc::S_IFIFO | 0o600, 0);
        libc::mknodat(here, text("pipe-at").as_ptr(), libc::S_IFIFO | 0o600, 0);
        libc::chdir(text("dir").as_ptr());
        libc::mkdir(text("../beside").as_ptr(), 0o755);
        libc::chdir(text("..").as_ptr());
        libc::close(here);
    }
}

fn attributes() {
    let file = open(NONE, "kept", libc::O_RDONLY);
    unsafe {
        let (uid, gid) = (libc::getuid(), libc::getgid());
        libc::chmod(text("mode").as_ptr(), 0o600);
        libc::fchmod(file, 0o640);
        libc::syscall(libc::SYS_fchmodat, NONE, text("kept").as_ptr(), 0o644);
        libc::chown(text("kept").as_ptr(), uid, gid);
        libc::lchown(text("soft").as_ptr(), uid, gid);
        libc::fchown(file, uid, gid);
        libc::fchownat(NONE, text("kept").as_ptr(), uid, gid, 0);
        let times = [libc::timespec { tv_sec: 1_000_000_000, tv_nsec: 0 }; 2];
        libc::utimensat(NONE, text("kept").as_ptr(), times.as_ptr(), 0);
        libc::futimens(file, times.as_ptr());
        let (name, value) = (text("user.capsule"), b"1");
        libc::setxattr(text("kept").as_ptr(), name.as_ptr(), value.as_ptr().cast(), 1, 0);
        libc::removexattr(text("kept").as_ptr(), name.as_ptr());
        libc::close(file);
    }
}

fn v4(port: u16) -> libc::sockaddr_in {
    let mut address: libc::sockaddr_in = unsafe { zeroed() };
    address.sin_family = libc::AF_INET as u16;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from(std::net::Ipv4Addr::LOCALHOST).to_be();
    address
}

fn sockets() {
    unsafe {
        let size = size_of::<libc::sockaddr_in>() as u32;
        let tcp = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        let refused = v4(1);
        libc::connect(tcp, (&raw const refused).cast(), size);
        let mut six: libc::sockaddr_in6 = zeroed();
        six.sin6_family = libc::AF_INET6 as u16;
        six.sin6_port = 2_u16.to_be();
        six.sin6_addr.s6_addr = std::net::Ipv6Addr::LOCALHOST.octets();
        let tcp6 = libc::socket(libc::AF_INET6, libc::SOCK_STREAM, 0);
        libc::connect(tcp6, (&raw const six).cast(), size_of::<libc::sockaddr_in6>() as u32);

        // Datagrams, as a resolver sends them.
        let udp = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let to = v4(53_531);
        libc::sendto(udp, b"q".as_ptr().cast(), 1, 0, (&raw const to).cast(), size);
        let mut to = v4(53_532);
        let mut part = libc::iovec { iov_base: b"q".as_ptr().cast_mut().cast::<c_void>(), iov_len: 1 };
        let mut message: libc::msghdr = zeroed();
        message.msg_name = (&raw mut to).cast();
        message.msg_namelen = size;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        libc::sendmsg(udp, &raw const message, 0);
        let mut to = v4(53_533);
        message.msg_name = (&raw mut to).cast();
        let mut many: [libc::mmsghdr; 1] = zeroed();
        many[0].msg_hdr = message;
        libc::sendmmsg(udp, many.as_mut_ptr(), 1, 0);
        // Without an address there is nobody to name.
        message.msg_name = std::ptr::null_mut();
        message.msg_namelen = 0;
        libc::sendmsg(udp, &raw const message, 0);

        let mut unix: libc::sockaddr_un = zeroed();
        unix.sun_family = libc::AF_UNIX as u16;
        for (to, from) in unix.sun_path.iter_mut().zip(b"socket") {
            *to = *from as c_char;
        }
        let local = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        let length = size_of::<libc::sockaddr_un>() as u32;
        libc::bind(local, (&raw const unix).cast(), length);
        libc::listen(local, 1);
        let other = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        libc::connect(other, (&raw const unix).cast(), length);
        let serving = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        let any = v4(0);
        libc::bind(serving, (&raw const any).cast(), size);
        libc::listen(serving, 1);
        for fd in [tcp, tcp6, udp, local, other, serving] {
            libc::close(fd);
        }
    }
}

fn privileges() {
    unsafe {
        libc::mount(text("none").as_ptr(), text("/nonexistent").as_ptr(), text("tmpfs").as_ptr(), 0, std::ptr::null());
        libc::umount2(text("/nonexistent").as_ptr(), 0);
        libc::chroot(text("/nonexistent").as_ptr());
        libc::syscall(libc::SYS_delete_module, text("capsule_no_such").as_ptr(), 0);
        // No module: the kernel refuses it whoever asks.
        libc::syscall(libc::SYS_init_module, b"none".as_ptr(), 4 as c_long, text("").as_ptr());
        let file = open(NONE, "kept", libc::O_RDONLY);
        libc::syscall(libc::SYS_finit_module, file, text("").as_ptr(), 0);
        libc::close(file);
        // Nobody has this pid: the largest is 4,194,304.
        libc::ptrace(libc::PTRACE_ATTACH, 5_000_000, 0, 0);
        libc::syscall(libc::SYS_process_vm_writev, 5_000_000, 0, 0, 0, 0, 0);
        libc::syscall(libc::SYS_setns, -1 as c_long, 0);
        libc::unshare(libc::CLONE_NEWUTS);
        let header: [u32; 2] = [0x2008_0522, 0];
        let mut sets = [0_u32; 6];
        libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr());
        libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr());
        libc::syscall(libc::SYS_setgid, libc::getgid());
        libc::syscall(libc::SYS_setuid, libc::getuid());
    }
}
