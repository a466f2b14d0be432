//! What code as a whole looks like: features that rules know by name.

use super::Scan;

impl Scan {
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
            || has("open(STD")
            || (has(":in") && has(":out"));
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
        } else if language == "awk" && has("/inet/") && (has("getline") && self.spawns || has("|&"))
            || commands_from_socket(language, text)
        {
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

/// Languages of which the calls are not followed: a socket, what is read from it, and something that runs it.
fn commands_from_socket(language: &str, text: &str) -> bool {
    let has = |word: &str| text.contains(word);
    match language {
        "lua" => has("socket") && has("connect") && has("popen") && has("receive"),
        "tcl" => has("socket ") && has("gets ") && (has("exec ") || has("eval ")),
        "jvm" => has("Socket") && (has("ProcessBuilder") || has("getRuntime") || has(".execute(")),
        "powershell" => {
            let text = text.to_ascii_lowercase();
            text.contains("tcpclient") && (text.contains("iex") || text.contains("invoke-expression"))
        }
        _ => false,
    }
}
