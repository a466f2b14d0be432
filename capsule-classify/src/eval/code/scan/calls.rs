//! What a name or a call means, language by language.

use super::token::Token;
use super::{Args, Call, SHELL_CALLS, Scan, is_url};

impl Scan {
    pub(super) fn name(&mut self, language: &str, name: &str, tokens: &[Token], index: usize) {
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

    pub(super) fn call(&mut self, language: &str, name: &str, args: &Args, tokens: &[Token], index: usize) {
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
            "node" => {
                matches!(name, "eval" | "Function")
                    || matches!(last, "runInThisContext" | "runInNewContext")
                    || (last == "then" && has_name(&["eval"]))
            }
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
            "require" if language == "node" => {
                // Data, not code.
                if let Some(path) = first.filter(|path| args.literal && path.ends_with(".json")) {
                    self.calls.push(Call::Read(path.clone()));
                }
            }
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
