//! The program: parses the arguments, starts porthole, waits for a signal and stops it again.
//!
//! What is started, and in which order, belongs to `app`.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use porthole::app::App;
use porthole::cli::{
    Cli, Run, StateDirArg, Subcommand, address, check, controls, ctl, devices, password, startup_check, token,
};
use porthole::config::Config;
use porthole::log::{self, Levels};
use porthole::media::Timestamp;
use porthole::server::auth::{Auth, Mode, Role};
use porthole::server::http::Tls;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

fn main() -> ExitCode {
    porthole::util::malloc::share_one_arena();
    // The media clock starts with the process, so that no driver's timestamp lies before it.
    let _ = Timestamp::now();
    let done = match Cli::parse().into_command() {
        Subcommand::Run(run) => serve(run),
        Subcommand::Devices { json } => list_devices(json),
        Subcommand::Controls(arguments) => show_controls(&arguments.into_request()),
        Subcommand::Password { role, random, state_dir } => set_password(role, random, state_dir),
        Subcommand::Token { action, state_dir } => manage_tokens(&action, state_dir),
        Subcommand::Ctl { method, params, state_dir } => send_command(&method, params.as_deref(), state_dir),
        Subcommand::Address { config } => print_addresses(config),
        Subcommand::CheckConfig { file } => check_config(&file),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed standard error is not worth a second error.
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(run: Run) -> anyhow::Result<()> {
    let config = run.clone().configuration()?;
    let levels = log::init(config.log_level)?;
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    let done = runtime.block_on(start_and_stop(config, &run, &levels));
    // The app has stopped its parts by now; a task that is still blocked must not delay the exit.
    runtime.shutdown_background();
    done
}

async fn start_and_stop(config: Config, run: &Run, levels: &Levels) -> anyhow::Result<()> {
    // Before the start, so that a signal during it leads to a graceful stop too.
    let mut stop = stop_signal().context("listen for signals")?;
    let mut reload = reload_signal(run).context("listen for signals")?;
    let encrypted = config.http.tls != Tls::Off;
    let mut app = App::start(config).await?;
    let urls = address::urls(app.address(), encrypted);
    let hint = sign_in_hint(app.auth().clone(), &urls).await?;
    print_to_stdout(|out| address::print(out, &urls, &hint, io::stdout().is_terminal()))?;
    if let Some(rtsp) = app.rtsp_address() {
        print_to_stdout(|out| address::rtsp_urls(rtsp).iter().try_for_each(|url| writeln!(out, "{url}")))?;
    }
    loop {
        tokio::select! {
            biased;
            // The sender is not dropped before it has sent.
            _ = &mut stop => break,
            () = next_reload(&mut reload) => reload_config(&mut app, run, levels),
        }
    }
    tracing::info!("stopping; a second signal exits at once");
    app.stop().await;
    Ok(())
}

/// SIGHUP, which reloads the configuration. Without a file it does nothing, and on a terminal it keeps its default: the
/// terminal was closed.
fn reload_signal(run: &Run) -> io::Result<Option<Signal>> {
    let wanted = run.config.is_some() && !io::stdout().is_terminal();
    wanted.then(|| signal(SignalKind::hangup())).transpose()
}

async fn next_reload(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => signal.recv().await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

/// Reloads the configuration. A file with errors changes nothing.
fn reload_config(app: &mut App, run: &Run, levels: &Levels) {
    app.notifier().reloading();
    match run.clone().configuration() {
        Ok(config) => {
            if let Err(error) = levels.set(config.log_level) {
                tracing::error!("{error:#}");
            }
            app.reload(&config);
        }
        Err(errors) => {
            // A line each, since the log escapes line breaks.
            for error in errors.to_string().lines() {
                tracing::error!("configuration not reloaded: {error}");
            }
        }
    }
    app.notifier().ready();
}

/// How to sign in. Not printed to the journal, which others than the owner can read.
async fn sign_in_hint(auth: Auth, urls: &[String]) -> anyhow::Result<address::SignInHint> {
    if auth.mode() == Mode::None {
        let page = urls.first().map_or("the page", String::as_str);
        tracing::warn!("[auth] mode = \"none\": anybody who reaches {page} can watch and control");
        return Ok(address::SignInHint::default());
    }
    if log::is_journal(&io::stdout()) {
        if auth.lacks_passwords() {
            let state = auth.directory().unwrap_or(Path::new("")).display();
            tracing::warn!(
                "nobody can sign in: no password is set; run `sudo porthole password operator --state {state}`, and the \
                 same for the viewer"
            );
        }
        return Ok(address::SignInHint::default());
    }
    // In this order, because a new password ends the link.
    let making = tokio::task::spawn_blocking(move || anyhow::Ok((auth.first_passwords()?, auth.link())));
    let (passwords, link) = making.await.context("make passwords")??;
    Ok(address::SignInHint { passwords, link })
}

/// Resolves at the first SIGTERM or SIGINT; the second one exits the process. It runs in its own task, so that no other
/// task can keep it from doing so.
fn stop_signal() -> io::Result<oneshot::Receiver<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (first, stop) = oneshot::channel();
    tokio::spawn(async move {
        next_exit_code(&mut terminate, &mut interrupt).await;
        let _ = first.send(());
        std::process::exit(next_exit_code(&mut terminate, &mut interrupt).await);
    });
    Ok(stop)
}

/// Waits for a signal and returns its exit code: 128 plus its number.
async fn next_exit_code(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    let kind = tokio::select! {
        _ = terminate.recv() => SignalKind::terminate(),
        _ = interrupt.recv() => SignalKind::interrupt(),
    };
    128 + kind.as_raw_value()
}

fn list_devices(json: bool) -> anyhow::Result<()> {
    let inventory = devices::inventory();
    print_to_stdout(|out| devices::print(out, &inventory, json))
}

fn show_controls(request: &controls::ControlsRequest) -> anyhow::Result<()> {
    let controls::Outcome { controls, refused } = controls::answer(request)?;
    if !controls.is_empty() || refused.is_empty() {
        print_to_stdout(|out| controls::print(out, &controls, request.json))?;
    }
    if refused.is_empty() { Ok(()) } else { Err(anyhow::anyhow!("{}", refused.join("\n"))) }
}

fn set_password(role: Role, random: bool, state_dir: StateDirArg) -> anyhow::Result<()> {
    password::set(&mut io::stdout(), &mut io::stderr(), &state_dir.store()?, role, random)
}

fn manage_tokens(action: &token::Action, state_dir: StateDirArg) -> anyhow::Result<()> {
    token::run(&mut io::stdout(), &mut io::stderr(), &state_dir.store()?, action)
}

fn send_command(method: &str, params: Option<&str>, state_dir: StateDirArg) -> anyhow::Result<()> {
    let store = state_dir.store()?;
    ctl::run(&mut io::stdout(), store.directory().ok(), method, params)
}

fn print_addresses(file: Option<PathBuf>) -> anyhow::Result<()> {
    let config = Run { config: file, ..Run::default() }.configuration()?;
    let urls = address::urls(config.http.listen, config.http.tls != Tls::Off);
    print_to_stdout(|out| address::print(out, &urls, &address::SignInHint::default(), false))
}

fn check_config(file: &Path) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    // systemd has this run by a service that is to reload.
    let listens = std::env::var_os("INVOCATION_ID").is_none();
    let problems = startup_check::problems(&config, listens);
    for warning in startup_check::warnings(&config) {
        writeln!(io::stderr(), "{}: warning: {warning}", file.display())?;
    }
    if problems.is_empty() {
        return print_to_stdout(|out| check::print(out, file, &config));
    }
    let problems: Vec<String> = problems.iter().map(|problem| format!("{}: {problem}", file.display())).collect();
    Err(anyhow::anyhow!("{}", problems.join("\n")))
}

/// Prints to standard output. A reader that closes the pipe early, such as `head`, is no error.
fn print_to_stdout(print: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) -> anyhow::Result<()> {
    match print(&mut io::stdout().lock()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("write to standard output"),
    }
}
