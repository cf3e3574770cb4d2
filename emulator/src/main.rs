//! `defender-emulator serve` and `defender-emulator browse URL`.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use defender_emulator::person::{self, Options};
use defender_emulator::{Config, Emulator, Error, PLACES};
use lexopt::prelude::*;

const HELP: &str = "\
Entra ID sign-in and the Defender APIs on loopback, for development and tests.

Usage:
  defender-emulator serve [--port N] [--config FILE] [--tls] [--tls-port N] [--auto-approve] [--recent] [--quiet]
  defender-emulator browse URL [--user UPN] [--password P] [--code C] [--decline] [--ca-file FILE] [--timeout SECONDS]
  defender-emulator environment PLACE [--emulator VALUE] [--format sh|powershell|json]
  defender-emulator config

serve    prints one JSON line with its addresses when it is ready, logs requests to stderr, and stops on
         Ctrl+C, or when its parent goes or closes its standard input.
browse   plays the person at the sign-in page: signs in, consents, and follows the answer to a loopback
         redirect URI; for any other it prints the address it landed on. Fits in $BROWSER.
environment
         prints the variables that make a place look real to what runs there, of a running emulator: vm,
         app-service, functions, automation, arc, service-fabric, cloud-shell, azure-ml, kubernetes,
         github-actions, azure-pipelines.
config   prints the embedded configuration, to start one's own from.

  --port N          listen there instead of on a free port
  --config FILE     use this configuration instead of the embedded one
  --tls             serve TLS on a second port, from a certificate authority made at the start
  --tls-port N      that port
  --auto-approve    answer sign-ins at once, without a page
  --recent          the made-up data ends now (incidents, alerts, machines, actions, hunting rows), not in September 2026
  --quiet           log nothing
  --user UPN        who signs in (default: the first test user the page names)
  --password P      their password (default: the one the page names)
  --code C          the code a device shows, for the page that asks for it
  --decline         press Cancel
  --emulator VALUE  the value that serve printed (default: $DEFENDER_XDR_EMULATOR)
  --format F        export lines for a shell (default), $env: lines for PowerShell, or a JSON object
  --ca-file FILE    the certificate authority to trust for an https URL
  --timeout SECONDS give up after that long (default 30)
  -h, --help        this text
  -V, --version     the version

Served:
  sign-in    v1 and v2 authorize, token, device code; discovery, keys; managed identities, federated assertions
  XDR        incidents (list, get, update), advancedhunting/run
  Endpoint   alerts, machines, machineactions, indicators (lists, get, changes), advancedqueries/run
  Graph      security/incidents and security/alerts_v2 (list, get, update, comments), security/runHuntingQuery
  OData      $top, $skip, $filter with eq ne gt ge lt le in and or not; startswith and any for Endpoint
  hunting    DeviceInfo, DeviceProcessEvents, DeviceNetworkEvents, DeviceTvmSecureConfigurationAssessment, range;
             take, limit, where, project, count, summarize N = count() by Column
  limits     those that Microsoft documents, where the configuration says quotas.documented
emulator/README.md lists each path with its fields, pages and limits.
";

enum Command {
    Help,
    Version,
    Config,
    Serve(Serve),
    Browse(String, Options),
    Environment(Environment),
}

#[derive(Default)]
struct Environment {
    place: String,
    emulator: Option<String>,
    format: Format,
}

#[derive(Clone, Copy, Default)]
enum Format {
    #[default]
    Sh,
    PowerShell,
    Json,
}

#[derive(Default)]
struct Serve {
    port: u16,
    tls_port: u16,
    config: Option<PathBuf>,
    tls: bool,
    auto_approve: bool,
    recent: bool,
    quiet: bool,
}

fn main() -> ExitCode {
    let command = match parse(std::env::args_os().skip(1).collect()) {
        Ok(command) => command,
        Err(e) => {
            complain(&format!("{e}; see defender-emulator --help"));
            return ExitCode::from(2);
        }
    };
    let done = match command {
        Command::Help => say(HELP.trim_end()),
        Command::Version => say(concat!("defender-emulator ", env!("CARGO_PKG_VERSION"))),
        Command::Config => say(Config::default_text().trim_end()),
        Command::Serve(options) => {
            // A wrong file is a wrong argument.
            let config = options.config.as_deref().map(Config::load).transpose();
            match config {
                Ok(config) => {
                    let mut config = config.unwrap_or_default();
                    if options.recent {
                        "now".clone_into(&mut config.data.newest_generated);
                    }
                    serve(&options, config)
                }
                Err(e) => {
                    complain(&e.to_string());
                    return ExitCode::from(2);
                }
            }
        }
        Command::Environment(options) => environment(&options),
        Command::Browse(url, options) => person::browse_blocking(&url, &options).and_then(|outcome| say(&outcome.to_string())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&e.to_string());
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe does not want the rest.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    Ok(())
}

fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "defender-emulator: {line}");
}

fn parse(arguments: Vec<OsString>) -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    match parser.next()? {
        None => Err("a command is missing".into()),
        Some(Short('h') | Long("help")) => Ok(Command::Help),
        Some(Short('V') | Long("version")) => Ok(Command::Version),
        Some(Value(name)) if name == "serve" => parse_serve(&mut parser),
        Some(Value(name)) if name == "browse" => parse_browse(&mut parser),
        Some(Value(name)) if name == "environment" => parse_environment(&mut parser),
        Some(Value(name)) if name == "config" => match parser.next()? {
            None => Ok(Command::Config),
            Some(other) => Err(other.unexpected()),
        },
        Some(Value(name)) => Err(format!("unknown command {}", name.display()).into()),
        Some(other) => Err(other.unexpected()),
    }
}

fn parse_serve(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut serve = Serve::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("port") => serve.port = parser.value()?.parse()?,
            Long("tls-port") => {
                serve.tls_port = parser.value()?.parse()?;
                serve.tls = true;
            }
            Long("config") => serve.config = Some(parser.value()?.into()),
            Long("tls") => serve.tls = true,
            Long("auto-approve") => serve.auto_approve = true,
            Long("recent") => serve.recent = true,
            Long("quiet") => serve.quiet = true,
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Serve(serve))
}

fn parse_browse(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut url = None;
    let mut options = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("user") => options.user = Some(parser.value()?.string()?),
            Long("password") => options.password = Some(parser.value()?.string()?),
            Long("code") => options.user_code = Some(parser.value()?.string()?),
            Long("decline") => options.decline = true,
            Long("ca-file") => {
                let path = PathBuf::from(parser.value()?);
                let pem = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                options.ca_pem = Some(pem);
            }
            Long("timeout") => {
                options.timeout = Duration::from_secs(parser.value()?.parse()?);
            }
            Value(value) if url.is_none() => url = Some(value.string()?),
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    url.map(|url| Command::Browse(url, options))
        .ok_or_else(|| "browse needs a URL".into())
}

fn parse_environment(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut options = Environment::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("emulator") => options.emulator = Some(parser.value()?.string()?),
            Long("format") => {
                options.format = match parser.value()?.string()?.as_str() {
                    "sh" => Format::Sh,
                    "powershell" => Format::PowerShell,
                    "json" => Format::Json,
                    other => return Err(format!("no format {other}").into()),
                };
            }
            Value(value) if options.place.is_empty() => options.place = value.string()?,
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    if options.place.is_empty() {
        return Err(format!("environment needs a place: {}", PLACES.join(", ")).into());
    }
    Ok(Command::Environment(options))
}

fn environment(options: &Environment) -> Result<(), Error> {
    let value = match &options.emulator {
        Some(value) => value.clone(),
        None => std::env::var("DEFENDER_XDR_EMULATOR")
            .map_err(|_| Error::Start("which emulator? Give --emulator, or set DEFENDER_XDR_EMULATOR".to_owned()))?,
    };
    let variables = defender_emulator::environment_of(&value, &options.place)?;
    if matches!(options.format, Format::Json) {
        return say(&serde_json::to_string_pretty(&variables).map_err(|e| Error::Start(e.to_string()))?);
    }
    for (name, value) in &variables {
        let quoted = match options.format {
            Format::PowerShell => format!("$env:{name} = '{}'", value.replace('\'', "''")),
            _ => format!("export {name}='{}'", value.replace('\'', r"'\''")),
        };
        say(&quoted)?;
    }
    Ok(())
}

fn serve(options: &Serve, config: Config) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::Start(e.to_string()))?;
    runtime.block_on(async {
        let mut builder = Emulator::builder()
            .config(config)
            .auto_approve(options.auto_approve)
            .tls(options.tls)
            .port(options.port)
            .tls_port(options.tls_port);
        if !options.quiet {
            builder = builder.log(|line| {
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            });
        }
        let orders = Orders::watch()?;
        let emulator = builder.start().await?;
        let ready = serde_json::to_string(&emulator.ready()).map_err(|e| Error::Start(e.to_string()))?;
        say(&ready)?;
        orders.given().await;
        emulator.stop().await;
        Ok(())
    })
}

/// The three ways of being told to stop: a signal, a closed standard input, a parent that is gone.
struct Orders {
    stdin: tokio::sync::oneshot::Receiver<()>,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
    #[cfg(unix)]
    parent: u32,
}

impl Orders {
    /// From here on orders are heard: before the ready line, or one given at once would kill.
    fn watch() -> Result<Self, Error> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        let fail = |e: std::io::Error| Error::Start(e.to_string());
        Ok(Self {
            stdin: watch_stdin(),
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt()).map_err(fail)?,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate()).map_err(fail)?,
            #[cfg(windows)]
            interrupt: tokio::signal::windows::ctrl_c().map_err(fail)?,
            #[cfg(unix)]
            parent: std::os::unix::process::parent_id(),
        })
    }

    #[cfg(unix)]
    async fn given(mut self) {
        let mut every = tokio::time::interval(Duration::from_millis(250));
        let closed = closed(self.stdin);
        tokio::pin!(closed);
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                () = &mut closed => return,
                _ = every.tick() => {
                    if std::os::unix::process::parent_id() != self.parent {
                        return;
                    }
                }
            }
        }
    }

    #[cfg(windows)]
    async fn given(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            () = closed(self.stdin) => {}
        }
    }
}

async fn closed(stdin: tokio::sync::oneshot::Receiver<()>) {
    // An error means nobody watches: then it never closes.
    if stdin.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Tells when a piped standard input ends. A terminal, a file or the null device says nothing about a parent.
fn watch_stdin() -> tokio::sync::oneshot::Receiver<()> {
    let (tell, told) = tokio::sync::oneshot::channel();
    if stdin_is_pipe() {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = tell.send(());
        });
    }
    told
}

#[cfg(unix)]
fn stdin_is_pipe() -> bool {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::FileTypeExt as _;
    std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|fd| std::fs::File::from(fd).metadata())
        .is_ok_and(|m| m.file_type().is_fifo() || m.file_type().is_socket())
}

#[cfg(not(unix))]
fn stdin_is_pipe() -> bool {
    // Only a console can be told apart safely here; the null device would look like a parent that left.
    false
}
