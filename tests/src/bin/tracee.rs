//! A program of known behaviour, to be traced: each mode does one thing that tracers get wrong.
//!
//! `tracee MODE [ARG…]`. What each mode starts and how it ends is written beside it; the tests compare a session with
//! exactly that.
#![expect(unsafe_code, reason = "the point of this program is to call fork, vfork, clone3 and execve by hand")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "every call is a raw system call on our own memory")]
#![allow(clippy::print_stdout, clippy::exit, clippy::unwrap_used, reason = "a test program")]

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

#[path = "tracee/effects.rs"]
mod effects;

fn main() {
    let args: Vec<OsString> = std::env::args_os().collect();
    let mode = args.get(1).and_then(|mode| mode.to_str()).unwrap_or("").to_owned();
    let number = |index: usize, default: u64| {
        args.get(index).and_then(|a| a.to_str()).and_then(|a| a.parse().ok()).unwrap_or(default)
    };
    match mode.as_str() {
        // Ends with ARG; everything after it is ignored.
        "exit" => std::process::exit(number(2, 0) as i32),
        // Lives ARG milliseconds.
        "sleep" => std::thread::sleep(Duration::from_millis(number(2, 100))),
        // Forks ARG children without exec, each ending with its index; they fork one child each, which ends with 0.
        "fork-tree" => fork_tree(number(2, 3)),
        // vfork, then the child execs `tracee exit 3`.
        "vfork" => vfork_exec(),
        // clone3 without flags; the child ends with 5.
        "clone3" => clone3_child(),
        // Execs itself ARG times, then ends with 7.
        "exec-chain" => exec_chain(number(2, 3)),
        // A thread that is not the leader execs `tracee exit 9`.
        "exec-thread" => exec_from_thread(),
        // Starts and joins ARG threads, 50 at a time.
        "threads" => threads(number(2, 1000)),
        // Starts three threads and says `up`; when its input ends each of them runs `tracee exit N`, 1 to 3. Ends with 6.
        "pool" => pool(),
        // Execs `tracee exit 0` with arguments that break parsers, under another argv[0].
        "odd-args" => odd_args(),
        // execve with an empty argument vector (the kernel makes it one empty argument).
        "empty-argv" => exec_raw(&[]),
        // A child that dies of the signal ARG.
        "die" => die(number(2, 9) as i32),
        // Double fork and setsid; the daemon lives ARG milliseconds, the rest ends at once.
        "daemon" => daemon(number(2, 300)),
        // The child outlives its parent by 100 ms and has a child of its own: re-parenting.
        "orphan" => orphan(),
        // Runs ARG2 at a time, ARG processes `tracee exit N marker-I` with N = I % 200.
        "storm" => storm(number(2, 100), number(3, 8)),
        // vfork and exec PATH, ARG times, ARG2 at a time: `vforks COUNT PARALLEL PATH`.
        "vforks" => vforks(number(2, 1000), number(3, 1), args.get(4).map_or_else(|| "/bin/true".into(), Clone::clone)),
        // Computes for a while, without system calls.
        "cpu" => cpu(number(2, 1000)),
        // ARG times the cheapest system call.
        "getppid" => (0..number(2, 1_000_000)).for_each(|_| {
            unsafe { libc::syscall(libc::SYS_getppid) };
        }),
        // Tries three paths that do not exist, then execs `tracee exit 4`.
        "failed-exec" => failed_exec(),
        // Uses every call that changes something outside the process, in the directory where it runs.
        "effects" => effects::all(),
        // Asks for a ring of io_uring; ends with 1 where it gets none.
        "ring" => std::process::exit(effects::ring()),
        // Prints everything that a tracer could disturb.
        "state" => state(),
        // Prints a line for each SIGTERM, SIGHUP or SIGINT, ends with 42 at the ARGth.
        "signals" => signals(number(2, 1)),
        // Ignores SIGTERM and SIGHUP, lives until killed.
        "stubborn" => stubborn(),
        _ => {
            println!("unknown mode");
            std::process::exit(64);
        }
    }
}

fn me() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

fn wait_all() {
    while unsafe { libc::wait(std::ptr::null_mut()) } > 0 {}
}

fn fork_tree(children: u64) {
    for index in 0..children {
        if unsafe { libc::fork() } == 0 {
            if unsafe { libc::fork() } == 0 {
                unsafe { libc::_exit(0) };
            }
            wait_all();
            unsafe { libc::_exit(index as i32) };
        }
    }
    wait_all();
}

fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap()
}

fn exec_raw(args: &[&[u8]]) {
    let path = c_string(me().as_os_str().as_bytes());
    let owned: Vec<CString> = args.iter().map(|arg| c_string(arg)).collect();
    let mut pointers: Vec<*const libc::c_char> = owned.iter().map(|arg| arg.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let env: [*const libc::c_char; 1] = [std::ptr::null()];
    unsafe { libc::execve(path.as_ptr(), pointers.as_ptr(), env.as_ptr()) };
    std::process::exit(99);
}

#[allow(deprecated, reason = "vfork is what is to be traced")]
fn vfork_exec() {
    let path = c_string(me().as_os_str().as_bytes());
    let args = [c_string(b"tracee"), c_string(b"exit"), c_string(b"3")];
    let pointers = [args[0].as_ptr(), args[1].as_ptr(), args[2].as_ptr(), std::ptr::null()];
    unsafe {
        let child = libc::vfork();
        if child == 0 {
            libc::execv(path.as_ptr(), pointers.as_ptr());
            libc::_exit(99);
        }
    }
    wait_all();
}

fn clone3_child() {
    // struct clone_args of linux/sched.h, version 0: 8 u64; exit_signal is the fifth.
    let mut arguments = [0_u64; 8];
    arguments[4] = libc::SIGCHLD as u64;
    let size = std::mem::size_of_val(&arguments);
    let child = unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size) };
    if child == 0 {
        unsafe { libc::_exit(5) };
    }
    wait_all();
}

fn exec_chain(left: u64) {
    let mut command = Command::new(me());
    if left == 0 {
        command.args(["exit", "7"]);
    } else {
        command.args(["exec-chain", &(left - 1).to_string()]);
    }
    let error = command.exec();
    println!("{error}");
    std::process::exit(99);
}

fn exec_from_thread() {
    std::thread::spawn(|| {
        let error = Command::new(me()).args(["exit", "9"]).exec();
        println!("{error}");
        std::process::exit(99);
    })
    .join()
    .unwrap();
}

fn threads(count: u64) {
    let mut left = count;
    while left > 0 {
        let wave = left.min(50);
        let handles: Vec<_> = (0..wave)
            .map(|_| std::thread::Builder::new().stack_size(64 * 1024).spawn(|| std::hint::black_box(1)).unwrap())
            .collect();
        handles.into_iter().for_each(|handle| {
            handle.join().unwrap();
        });
        left -= wave;
    }
}

fn pool() {
    let gate = std::sync::Arc::new(std::sync::Barrier::new(4));
    let workers = [1, 2, 3].map(|number| {
        let gate = gate.clone();
        std::thread::spawn(move || {
            gate.wait();
            gate.wait();
            Command::new(me()).args(["exit", &number.to_string()]).status().unwrap();
        })
    });
    gate.wait();
    println!("up");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    gate.wait();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    std::process::exit(6);
}

/// The arguments of `odd-args`, in the order of the final exec.
fn odd() -> Vec<Vec<u8>> {
    let mut long = b"long-".to_vec();
    long.resize(128 * 1024 - 1, b'x');
    vec![
        b"not the program".to_vec(),
        b"exit".to_vec(),
        b"0".to_vec(),
        Vec::new(),
        b"two\nlines\ttab \x1b[31mred\x07".to_vec(),
        b"not utf-8: \xff\xfe\x80".to_vec(),
        "wide: 漢字 😀 \u{202e}rtl".as_bytes().to_vec(),
        b"quotes: ' \" \\ $(x) `y`".to_vec(),
        Vec::new(),
        long,
        b"<script>alert(1)</script>".to_vec(),
        b"last".to_vec(),
    ]
}

fn odd_args() {
    let args = odd();
    let borrowed: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    exec_raw(&borrowed);
}

fn die(signal: i32) {
    if unsafe { libc::fork() } == 0 {
        unsafe {
            // Rust's runtime handles SIGSEGV and SIGBUS to name stack overflows.
            libc::signal(signal, libc::SIG_DFL);
            libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
            libc::raise(signal);
            libc::_exit(0);
        }
    }
    wait_all();
}

fn daemon(milliseconds: u64) {
    unsafe {
        if libc::fork() == 0 {
            libc::setsid();
            if libc::fork() == 0 {
                for fd in 0..3 {
                    libc::close(fd);
                }
                libc::usleep((milliseconds * 1000) as u32);
                libc::_exit(0);
            }
            libc::_exit(0);
        }
    }
    wait_all();
}

fn orphan() {
    unsafe {
        if libc::fork() == 0 {
            if libc::fork() == 0 {
                libc::usleep(100_000);
                if libc::fork() == 0 {
                    libc::_exit(11);
                }
                wait_all();
                libc::_exit(12);
            }
            libc::_exit(13);
        }
    }
    wait_all();
    std::thread::sleep(Duration::from_millis(200));
}

fn storm(count: u64, parallel: u64) {
    let me = me();
    let mut running = 0;
    for index in 0..count {
        if running == parallel {
            unsafe { libc::wait(std::ptr::null_mut()) };
            running -= 1;
        }
        let code = (index % 200).to_string();
        let child = Command::new(&me).args(["exit", &code, &format!("marker-{index}")]).stdin(Stdio::null()).spawn();
        // Reaped by wait above, not by the handle.
        std::mem::drop(child.unwrap());
        running += 1;
    }
    wait_all();
}

#[allow(deprecated, reason = "vfork is what is to be traced")]
fn vforks(count: u64, parallel: u64, path: OsString) {
    let path = c_string(path.as_bytes());
    let pointers = [path.as_ptr(), std::ptr::null()];
    let mut running = 0;
    for _ in 0..count {
        if running == parallel {
            unsafe { libc::wait(std::ptr::null_mut()) };
            running -= 1;
        }
        unsafe {
            if libc::vfork() == 0 {
                libc::execv(path.as_ptr(), pointers.as_ptr());
                libc::_exit(99);
            }
        }
        running += 1;
    }
    wait_all();
}

fn cpu(millions: u64) {
    let mut state = 1_u64;
    for _ in 0..millions * 1_000_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    std::hint::black_box(state);
}

fn failed_exec() {
    for path in ["/nonexistent/a", "/nonexistent/b", "/etc/passwd"] {
        drop(Command::new(path).arg("never").exec());
    }
    let error = Command::new(me()).args(["exit", "4"]).exec();
    println!("{error}");
}

fn state() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    for name in ["SigBlk:", "SigIgn:", "SigCgt:", "NoNewPrivs:", "Seccomp:", "Umask:", "CapEff:", "Groups:"] {
        if let Some(line) = status.lines().find(|line| line.starts_with(name)) {
            println!("{line}");
        }
    }
    let mut fds: Vec<u32> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str().and_then(|name| name.parse().ok()))
        .collect();
    fds.sort_unstable();
    // The listing's own descriptor is the lowest free one.
    let own = (0..).find(|fd| std::fs::metadata(format!("/proc/self/fd/{fd}")).is_err()).unwrap();
    fds.retain(|fd| *fd != own);
    println!("fds: {fds:?}");
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    print!("{limits}");
    let mut env: Vec<_> = std::env::vars_os().collect();
    env.sort();
    println!("env: {env:?}");
    println!("cwd: {:?}", std::env::current_dir().unwrap());
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let mut death = 0;
    unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &mut death) };
    let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
    let leader = unsafe { libc::getpgrp() == libc::getpid() };
    let tty = unsafe { libc::isatty(0) };
    println!("nice {nice} pdeathsig {death} dumpable {dumpable} group leader {leader} tty {tty}");
    let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    unsafe { libc::sched_getaffinity(0, std::mem::size_of_val(&cpus), &mut cpus) };
    println!("cpus {} policy {}", unsafe { libc::CPU_COUNT(&cpus) }, unsafe { libc::sched_getscheduler(0) });
}

fn signals(count: u64) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static SEEN: AtomicU64 = AtomicU64::new(0);
    extern "C" fn note(_signal: i32) {
        SEEN.fetch_add(1, Ordering::SeqCst);
    }
    let handler = note as extern "C" fn(i32) as libc::sighandler_t;
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        unsafe { libc::signal(signal, handler) };
    }
    println!("ready");
    let mut told = 0;
    while told < count {
        std::thread::sleep(Duration::from_millis(5));
        while told < SEEN.load(Ordering::SeqCst) {
            told += 1;
            println!("signal {told}");
        }
    }
    std::process::exit(42);
}

fn stubborn() {
    for signal in [libc::SIGTERM, libc::SIGHUP] {
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    println!("ready");
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}
