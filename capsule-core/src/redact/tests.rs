//! What must be found, and what must stay.

use proptest::prelude::*;

use super::*;

fn redactor() -> Redactor {
    Redactor::new([7; 32])
}

fn argv(args: &[&str]) -> Vec<String> {
    let redacted = redactor().argv(&args.iter().collect());
    redacted.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

/// Secrets are put together here, so that this file holds none that a scanner would report.
fn key(prefix: &str, body: &str) -> String {
    format!("{prefix}{body}")
}

const BODY: &str = "a8Kq2mZ9xW4vB7nC1pL6dF3gH5jR0tYuEiOsAzXc";
const HEX: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// `secret` is gone from `args`, and everything of `kept` is still there.
#[track_caller]
fn gone(args: &[&str], secret: &str, kept: &[&str]) {
    let redacted = argv(args).join("\u{1f}");
    assert!(!redacted.contains(secret), "still there: {redacted:.2000}");
    assert!(redacted.contains("[redacted:"), "{redacted}");
    for part in kept {
        assert!(redacted.contains(part), "`{part}` is gone: {redacted}");
    }
}

#[track_caller]
fn stays(args: &[&str]) {
    assert_eq!(argv(args), args);
}

#[test]
fn provider_keys_are_found_wherever_they_stand() {
    let jwt = format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{BODY}");
    let keys = [
        (key("AKIA", "IOSFODNN7EXAMPL2"), "aws-access-key"),
        (key("gh", &format!("p_{}", &BODY.chars().take(36).collect::<String>())), "github-token"),
        (key("github_", &format!("pat_{BODY}")), "github-token"),
        (key("glpat", "-abcDEF123456ghiJKL78"), "gitlab-token"),
        (key("xoxb", "-123456789012-123456789012-abcdefABCDEF"), "slack-token"),
        (key("sk-ant", &format!("-api03-{BODY}_x-{BODY}")), "anthropic-key"),
        (key("sk-proj", &format!("-{BODY}")), "openai-key"),
        (key("sk-", BODY), "openai-key"),
        (key("AIza", &BODY.chars().take(35).collect::<String>()), "google-key"),
        (key("sk_live", &format!("_{BODY}")), "stripe-key"),
        (key("npm_", &BODY.chars().take(36).collect::<String>()), "npm-token"),
        (key("pypi-Ag", &format!("{BODY}{BODY}")), "pypi-token"),
        (key("hf_", &BODY.chars().take(34).collect::<String>()), "huggingface-token"),
        (key("hvs.", BODY), "vault-token"),
        (key("dop_v1", &format!("_{HEX}")), "digitalocean-token"),
        (jwt, "jwt"),
    ];
    for (secret, kind) in &keys {
        for text in [
            secret.clone(),
            format!("--header=x:{secret}"),
            format!("echo '{secret}' | wc -c"),
            format!("{{\"a\":\"{secret}\"}}"),
            format!("a\\n{secret}\\nb"),
            format!("https://example.org/?q={secret}&x=1"),
        ] {
            gone(&["prog", &text], secret, &[kind]);
        }
    }
}

#[test]
fn private_keys_go_from_begin_to_end() {
    let pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\nAAAA\n-----END OPENSSH PRIVATE KEY-----";
    gone(&["sh", "-c", &format!("echo '{pem}' > key; ls")], "b3BlbnNza", &["private-key", "> key; ls"]);
    gone(&["echo", "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA"], "MIIEpA", &[]);
    let sha = "5f4dcc3b5aa765d61d8327deb882cf995f4dcc3b";
    gone(&["deploy", pem, sha], "b3BlbnNza", &["private-key", sha]);
    gone(&["deploy", &pem.replace('\n', "\\n"), sha], "b3BlbnNza", &["private-key", sha]);
    stays(&["echo", "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----"]);
    stays(&["echo", "-----BEGIN PUBLIC KEY-----\nMIIC\n-----END PUBLIC KEY-----"]);
}

#[test]
fn keys_of_letters_or_behind_a_short_prefix_are_known() {
    gone(&["echo", "hf_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh"], "AbCdEfGh", &[]);
    gone(&["curl", "-u", "SK0123456789abcdef0123456789abcdef:x"], "0123456789abcdef", &[]);
    stays(&["echo", "hf_hub_download", "hf_transfer", "half_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGhIj"]);
    stays(&["echo", "SKU-0123456789", "DISK0123456789abcdef0123456789abcdef", "SKIP"]);
}

#[test]
fn urls_keep_user_and_host() {
    gone(&["git", "clone", "https://bob:hunter2@example.org/a.git"], "hunter2", &["bob:", "@example.org/a.git"]);
    gone(&["psql", "postgres://app:s3cr3t@db:5432/x?sslmode=off"], "s3cr3t", &["app:", "@db:5432/x?sslmode=off"]);
    gone(&["sh", "-c", "redis-cli -u redis://:p4ss@h ping"], "p4ss", &["redis://:", "@h ping"]);
    stays(&["curl", "https://example.org/@scope/pkg:1"]);
    stays(&["git", "clone", "ssh://git@github.com:22/a/b"]);
    stays(&["sh", "-c", "git push https://bot:$TOKEN@example.org/x"]);
}

#[test]
fn headers_keep_their_scheme() {
    gone(&["curl", "-H", "Authorization: Bearer abc.DEF-123456"], "abc.DEF", &["Authorization: Bearer "]);
    gone(&["curl", "-H", "authorization:Basic dXNlcjpwYXNz"], "dXNlcjpwYXNz", &["Basic "]);
    gone(&["sh", "-c", "curl -H 'Authorization: token 0123abcd' https://x/y"], "0123abcd", &["https://x/y"]);
    gone(&["sh", "-c", r#"curl -H "X-Api-Key: k3y-abcdefgh" x"#], "k3y-abcdefgh", &["X-Api-Key: "]);
    gone(&["curl", "-H", "PRIVATE-TOKEN: abcdEFGH12345"], "abcdEFGH12345", &[]);
    gone(&["curl", "-H", "Cookie: sid=abcdef; theme=dark"], "abcdef", &["Cookie: "]);
    gone(&["git", "-c", "http.extraheader=AUTHORIZATION: basic eDpnaHBfYWJj", "fetch"], "eDpnaHBfYWJj", &["fetch"]);
    stays(&["sh", "-c", r#"curl -H "Authorization: Bearer $TOKEN" https://example.org"#]);
    stays(&["sh", "-c", r#"curl -H "Authorization: Bearer $(cat token)" https://example.org"#]);
    stays(&["python3", "-c", r#"h = {"Authorization": f"Bearer {token}"}"#]);
}

#[test]
fn flags_hide_their_value() {
    gone(&["tool", "--password", "hunter2", "file"], "hunter2", &["--password", "file"]);
    gone(&["tool", "--password=hunter2"], "hunter2", &["--password="]);
    gone(&["tool", "--db-password=hun$er"], "hun$er", &[]);
    gone(&["tool", "--password", "$ecret99!"], "$ecret99!", &[]);
    gone(&["gh", "--token", "abcdef"], "abcdef", &["--token"]);
    gone(&["tool", "--api-key", "abcdef123"], "abcdef123", &[]);
    gone(&["tool", "-clientSecret=abcdef"], "abcdef", &[]);
    gone(&["mysql", "-uroot", "-phunter2", "db"], "hunter2", &["-uroot", "-p[", "db"]);
    gone(&["docker", "exec", "c", "mysqldump", "-phunter2", "db"], "hunter2", &["db"]);
    gone(&["docker", "login", "-u", "me", "-p", "hunter2", "ghcr.io"], "hunter2", &["me", "ghcr.io"]);
    gone(&["sshpass", "-p", "hunter2", "ssh", "host"], "hunter2", &["ssh", "host"]);
    gone(&["curl", "-u", "bob:hunter2", "https://x"], "hunter2", &["bob:", "https://x"]);
    gone(&["curl", "--user=bob:hunter2", "https://x"], "hunter2", &["--user=bob:"]);
    gone(&["curl", "-ubob:hunter2"], "hunter2", &["-ubob:"]);
    gone(&["redis-cli", "-a", "hunter2", "ping"], "hunter2", &["ping"]);
    gone(&["openssl", "rsa", "-passin", "pass:hunter2", "-in", "k.pem"], "hunter2", &["-in", "k.pem"]);
    gone(&["smbclient", "-U", "me%hunter2", "//h/s"], "hunter2", &["me%", "//h/s"]);
    gone(&["htpasswd", "-bc", "f", "me", "hunter2"], "hunter2", &["me"]);
    gone(&["gh", "secret", "set", "NAME", "--body", "hunter2"], "hunter2", &["NAME"]);
    gone(&["kubectl", "create", "secret", "generic", "x", "--from-literal=user=hunter2"], "hunter2", &["user="]);
    gone(&["vault", "kv", "put", "app/db", "value=hunter2"], "hunter2", &["app/db", "value="]);
    gone(&["fly", "secrets", "set", "ANY_THING=hunter2"], "hunter2", &["ANY_THING="]);
    gone(&["az", "keyvault", "secret", "set", "-n", "x", "--value", "hunter2"], "hunter2", &["-n", "x"]);
    gone(&["sh", "-c", "echo -n hunter2 | wrangler secret put API"], "hunter2", &["wrangler secret put API"]);
    gone(&["ssh-keygen", "-t", "rsa", "-N", "hunter2", "-f", "k"], "hunter2", &["rsa", "-f", "k"]);
    gone(&["curl", "-b", "sid=hunter2; b=c", "https://x"], "hunter2", &["sid=", "https://x"]);
    let aws = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    gone(&["aws", "configure", "set", "aws_secret_access_key", aws], aws, &["aws_secret_access_key"]);
}

#[test]
fn assignments_hide_their_value() {
    gone(&["sh", "-c", "PASSWORD=hunter2 make test"], "hunter2", &["PASSWORD=", " make test"]);
    gone(&["sh", "-c", "export API_KEY=abcdef123456; run"], "abcdef123456", &["export API_KEY=", "; run"]);
    gone(&["sh", "-c", "export DB_PASS='a b;c' && run"], "a b;c", &[" && run"]);
    gone(&["sh", "-c", r#"PGPASSWORD="hun ter" psql"#], "hun ter", &[" psql"]);
    gone(&["env", "AWS_SECRET_ACCESS_KEY=abc/def+1", "ls"], "abc/def+1", &["ls"]);
    gone(&["docker", "run", "-e", "MYSQL_ROOT_PASSWORD=hunter", "mysql"], "hunter", &["MYSQL_ROOT_PASSWORD="]);
    gone(&["kubectl", "create", "secret", "generic", "x", "--from-literal=password=hunter2"], "hunter2", &["generic"]);
    gone(&["curl", "-d", r#"{"user":"bob","password":"hunter2","n":1}"#, "u"], "hunter2", &["bob", r#""n":1"#]);
    gone(&["curl", "-d", "user=bob&password=hunt&er&grant_type=x", "u"], "hunt&er", &["bob", "&grant_type=x"]);
    gone(&["curl", "https://x/y?access_token=abcdef0123&page=2"], "abcdef0123", &["&page=2"]);
    gone(&["sh", "-c", "cat > c.yml <<E\nuser: bob\npassword: hunter2\nE"], "hunter2", &["user: bob"]);
    let long = "a1b2".repeat(5000);
    gone(&["sh", "-c", &format!("SECRET='{long}' x; y")], "b2a1", &[" x; y"]);
    gone(&["curl", "-H", &format!("Authorization: Bearer {long}"), "x"], "b2a1", &["Bearer ["]);
    gone(&["mysql", "-e", "CREATE USER a IDENTIFIED BY 'hunter2'"], "hunter2", &["CREATE USER a"]);
    gone(&["az", "x", "DefaultEndpointsProtocol=https;AccountKey=abc123/+deFGH==;E=x"], "abc123/+deFGH==", &[";E=x"]);
    gone(&["sh", "-c", "echo hunter2 | docker login -u me --password-stdin"], "hunter2", &["--password-stdin"]);
    gone(&["sh", "-c", "echo 'hunter2' | sudo -S apt update"], "hunter2", &["apt update"]);
}

#[test]
fn quoting_does_not_hide_a_secret() {
    gone(&["bash", "-c", r#"bash -c "mysql -u root -p'hunter2' db""#], "hunter2", &["mysql -u root", " db"]);
    gone(&["bash", "-c", r#"eval 'mysql -p'"'"'hunter2'"'"' db'"#], "hunter2", &["db"]);
    gone(&["bash", "-c", r"curl -d '{\'password\': \'hunter2\'}' x"], "hunter2", &[]);
    gone(&["bash", "-c", r#"ssh h "curl -d \"{\\\"password\\\": \\\"hunter2\\\"}\" x""#], "hunter2", &["ssh h"]);
    gone(&["bash", "-c", "PASSWORD=abc\"d e\"f run"], "d e", &["run"]);
    gone(&["sh", "-c", r"tool --pass\word hunter2"], "hunter2", &[]);
    let filler = "echo line of an ordinary script; ".repeat(1200);
    let script = format!("{filler}PASSWORD=hunter2 x; {filler}");
    assert!(script.len() > 38 * 1024);
    gone(&["bash", "-c", &script], "hunter2", &["echo line"]);
}

#[test]
fn what_is_no_secret_stays() {
    let lines: &[&[&str]] = &[
        &["git", "show", "4324638f0c1d2e3a4b5c6d7e8f90a1b2c3d4e5f6"],
        &["git", "commit", "-m", "fix the token refresh: passwords are hashed, keys rotate"],
        &["git", "log", "--author=Bob Key <key@example.org>"],
        &["echo", "550e8400-e29b-41d4-a716-446655440000"],
        &["base64", "-d", "aGVsbG8gd29ybGQsIHRoaXMgaXMgYSBmaXh0dXJlIDEyMzQ1Njc4OTA="],
        &["grep", "-rn", "token", "src/"],
        &["grep", "-rn", "password", "src/auth/login.py"],
        &["grep", "-rnE", "(api_key|secret|password)\\s*=", "."],
        &["rg", "-n", "AWS_SECRET_ACCESS_KEY", "--type", "py"],
        &["docker", "login", "-u", "me", "--password-stdin", "ghcr.io"],
        &["gh", "auth", "login", "--with-token"],
        &["llm", "--max-tokens", "4096", "--tokenizer", "cl100k"],
        &["llm", "--max-tokens=4096"],
        &["vault", "kv", "get", "--field=password", "secret/app"],
        &["ssh", "-i", "/home/a/.ssh/id_ed25519", "-p", "2222", "host"],
        &["ssh-keygen", "-t", "ed25519", "-f", "key", "-N", ""],
        &["openssl", "s_client", "-connect", "x:443", "-key", "client.pem"],
        &["curl", "-sSL", "--key", "client.key", "https://example.org/token/list?page=2"],
        &["curl", "-u", "bob", "https://example.org"],
        &["tool", "--password-file", "/run/secrets/db"],
        &["tool", "--token-file=/run/secrets/token"],
        &["docker", "build", "--secret", "id=npmrc,src=/home/a/.npmrc", "."],
        &["python3", "-c", "import getpass; password = getpass.getpass(); token = make_token(x)"],
        &["python3", "-c", "def f(token: str, password: Optional[str] = None): pass"],
        &["python3", "-c", "f(token=token, api_key=os.environ['API_KEY'], password=args.password)"],
        &["sh", "-c", "PASSWORD=$(pass show db) TOKEN=\"$TOKEN\" make"],
        &["sh", "-c", "cd /a && PWD=/a OLDPWD=/b ls; echo $PWD"],
        &["sort", "--key=2,2", "-t", ","],
        &["ls", "/usr/share/keyrings", "/home/a/secrets/passwords.txt", "tokens/"],
        &["cargo", "test", "--", "token_is_refreshed", "auth::password::tests"],
        &["mysql", "-p", "-u", "root", "--port=3306"],
        &["mysql", "--protocol=tcp", "-P", "3306"],
        &["make", "-p"],
        &["mkdir", "-p", "a/b"],
        &["kubectl", "get", "secret", "x", "-o", "jsonpath={.data.password}"],
        &["kubectl", "create", "secret", "generic", "x", "--from-file=key=/etc/ssl/k.pem"],
        &["aws", "ssm", "get-parameter", "--name", "/a/b", "--with-decryption"],
        &["curl", "-b", "cookies.txt", "-c", "cookies.txt", "https://example.org"],
        &["kubectl", "get", "secrets", "-n", "prod", "-l", "app=x"],
        &["sed", "-i", "s/monkey=1/donkey=2/", "f"],
        &["find", ".", "-name", "*.key", "-o", "-name", "*token*"],
        &["npm", "run", "build:sk-learn-contrib-something-long"],
        &["node", "-e", "const key = 'primary'; obj[key] = 1; sortKey: 'name'"],
        &["echo", "[redacted:password:0123abcd]", "PASSWORD=[redacted:password:0123abcd]"],
        &["python3", "-c", "getpass(prompt='Password: ', stream=None); HTTPBasicAuthHandler(password_mgr=manager)"],
        &["echo", "the format identified by `cipher`", "private_key: ec.EllipticCurvePrivateKey"],
        &["jq", ".token_type, .expires_in", "x.json"],
        &["aws", "secretsmanager", "get-secret-value", "--secret-id", "prod/db"],
    ];
    for line in lines {
        stays(line);
    }
}

#[test]
fn the_same_secret_has_the_same_tag_and_another_key_another() {
    let tags = argv(&["a", "--password=hunter2", "--password", "hunter2", "https://u:hunter2@h/", "--password=other"]);
    let tag = |text: &str| text.split(':').next_back().unwrap().split(']').next().unwrap().to_owned();
    assert_eq!(tag(&tags[1]), tag(&tags[3]));
    assert!(tags[4].contains(&tag(&tags[1])));
    assert_ne!(tag(&tags[5]), tag(&tags[1]));
    let other = Redactor::new([8; 32]).text(b"--password=hunter2").unwrap();
    assert!(!other.to_lossy().contains(&tag(&tags[1])));
}

#[test]
fn redacting_again_changes_nothing() {
    let once = argv(&["x", "--password=hunter2", "https://u:pw@h/", "Authorization: Bearer abcdefgh1234567"]);
    let again = argv(&once.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(once, again);
}

#[test]
fn variables_are_judged_by_name() {
    let mut redactor = redactor();
    assert!(redactor.value(b"DB_PASSWORD", b"x y").is_some());
    assert!(redactor.value(b"GITHUB_TOKEN", b"abcdef").is_some());
    assert!(redactor.value(b"PATH", b"/bin:/usr/bin").is_none());
    assert!(redactor.value(b"PWD", b"/home/a").is_none());
    assert!(redactor.value(b"SSH_AUTH_SOCK", b"/tmp/ssh-x/agent.1").is_none());
    let url = redactor.value(b"HTTP_PROXY", b"http://u:pw@proxy:3128").unwrap();
    assert!(!url.to_lossy().contains("pw@"));
}

#[test]
fn off_means_off() {
    let args: Argv = ["x", "--password=hunter2"].iter().collect();
    assert_eq!(Redactor::off().argv(&args), args);
    assert_eq!(Redactor::off().value(b"PASSWORD", b"x"), None);
    assert_eq!(Redactor::off().text(b"PASSWORD=x"), None);
    assert_eq!(Redactor::off().line(Backend::Strace, b"execve(\"/a\", [\"--password=x\"]) = 0"), None);
}

fn hex_quoted(text: &str) -> String {
    format!("\"{}\"", text.bytes().map(|b| format!("\\x{b:02x}")).collect::<String>())
}

#[test]
fn no_quoting_of_strace_hides_a_secret() {
    let words = ["mysql", "-phunter2", "https://u:hunter2@h/"];
    let quotings: [fn(&str) -> String; 2] = [|word| format!("\"{word}\""), hex_quoted];
    for quoted in quotings {
        for end in [") = 0", " <unfinished ...>", ""] {
            let vector = words.map(quoted).join(", ");
            let line = format!("12 1700000000.1 execve({}, [{vector}], 0x7ffc /* 9 vars */{end}", quoted("/bin/mysql"));
            let redacted = redactor().line(Backend::Strace, line.as_bytes()).unwrap();
            let mut plain = Vec::new();
            let mut rest = redacted.as_bytes();
            while let Some(at) = memchr::memchr(b'"', rest) {
                let read = crate::quote::read(&rest[at..]).unwrap();
                plain.push(String::from_utf8(read.bytes).unwrap());
                rest = &rest[at + read.length..];
            }
            assert!(!plain.join(" ").contains("hunter2"), "{plain:?}");
            assert_eq!(plain[..2], ["/bin/mysql", "mysql"]);
            assert!(redacted.to_lossy().ends_with(&format!("0x7ffc /* 9 vars */{end}")), "{redacted}");
        }
    }
    let torn = format!("execve(\"/x\", [\"mysql\", {}", hex_quoted("-phunter2").trim_end_matches(['"', '2']));
    let redacted = redactor().line(Backend::Strace, torn.as_bytes()).unwrap();
    assert!(!redacted.to_lossy().contains(hex_quoted("hunte").trim_matches('"')), "{redacted}");
}

#[test]
fn an_environment_in_a_trace_line_keeps_allowed_values_only() {
    let line = br#"12 execve("/bin/a", ["a"], ["HOME=/root", "ANYTHING=x", "PATH=https://u:hunter2@h/"]) = 0"#;
    let redacted = redactor().line(Backend::Strace, line).unwrap();
    let text = redacted.to_lossy();
    assert!(text.contains(r#"["HOME=/root", "ANYTHING", "PATH=https://u:[redacted:"#), "{text}");
}

#[test]
fn an_unchanged_trace_line_is_not_rewritten() {
    let line =
        format!("12 1.5 execve({}, [{}, {}], 0x1) = 0", hex_quoted("/bin/ls"), hex_quoted("ls"), hex_quoted("-l"));
    assert_eq!(redactor().line(Backend::Strace, line.as_bytes()), None);
}

#[test]
fn json_lines_are_redacted_inside_their_strings() {
    let line = br#"{"event":{"exec":{"args":["curl","-u","bob:hunter2","{\"password\":\"hunter3\"}"]}},"n":1}"#;
    let redacted = redactor().line(Backend::Eslogger, line).unwrap();
    let text = redacted.to_lossy();
    assert!(!text.contains("hunter2") && !text.contains("hunter3"), "{text}");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
}

#[test]
fn environments_in_json_lines_keep_allowed_values_only() {
    let line =
        br#"{"event":{"exec":{"args":["a"],"env":["HOME=/root","ANYTHING=x","PATH=https://u:hunter2@h/","odd"]}}}"#;
    let on = redactor().line(Backend::Eslogger, line).unwrap();
    let off = Redactor::off().line(Backend::Eslogger, line).unwrap();
    assert!(on.to_lossy().contains(r#"["HOME=/root","ANYTHING","PATH=https://u:[redacted:"#), "{on}");
    assert!(off.to_lossy().contains(r#"["HOME=/root","ANYTHING","PATH=https://u:hunter2@h/","odd"]"#), "{off}");
}

#[test]
fn hostile_text_takes_linear_work() {
    // Each of these would take minutes if any detector looked at every byte once per hit.
    for unit in [
        "eyJ",
        "sk-ant-",
        "token=\"$",
        "password=",
        "://a:",
        "-----BEGIN ",
        "pass:",
        "'\"\\",
        "ghp_a",
        "key: ",
        "cookie:",
    ] {
        let text = unit.repeat(60_000 / unit.len());
        let redacted = argv(&["sh", "-c", &text]);
        assert_eq!(redacted.len(), 3);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken(args: Vec<Vec<u8>>, text: Vec<u8>) {
        let args: Argv = args.iter().collect();
        prop_assert_eq!(redactor().argv(&args).len(), args.len());
        redactor().text(&text);
        for source in Backend::ALL {
            redactor().line(source.0, &text);
        }
    }

    #[test]
    fn a_password_in_a_shell_string_never_survives(
        password in "[a-z][a-zA-Z0-9!%+,./:_-]{4,22}[0-9]",
        before in "[ !#-&(-\\[\\]-_a-~]{0,40}",
        after in "[a-z ]{0,40}",
    ) {
        let script = format!("{before}; PASSWORD='{password}' run {after}");
        let redacted = argv(&["bash", "-c", &script]).join(" ");
        prop_assert!(!redacted.contains(&format!("'{password}'")), "{}", redacted);
    }

    #[test]
    fn pieces_of_secrets_in_any_order_are_taken(pieces in proptest::collection::vec(prop_oneof![
        Just("password"), Just("="), Just("\""), Just("'"), Just("\\"), Just(" "), Just("eyJ"), Just("."), Just("://"),
        Just("@"), Just(":"), Just("-----BEGIN"), Just("PRIVATE KEY-----"), Just("Authorization: "), Just("Bearer "),
        Just("token"), Just("&a="), Just("[redacted:"), Just("\u{e9}"), Just("|"), Just("mysql"), Just("-p"), Just("cookie"),
        Just("abcdefgh12345678"), Just("AWS4-HMAC"), Just("Signature="), Just(":AA"), Just("login"),
    ], 0..60)) {
        let text = pieces.concat();
        redactor().text(text.as_bytes());
        argv(&[&text, "-p", &text]);
    }
}
