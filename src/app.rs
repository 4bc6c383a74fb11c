//! Builds every part in the right order and stops them in reverse; owns nothing else.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::capture::audio::{DeviceContext, Microphone};
use crate::capture::{audio, camera};
use crate::config::Config;
use crate::device::systemd::{Notifier, StreamHealth, WatchedStream};
use crate::device::{buttons, hotplug, leds};
use crate::model::metrics;
use crate::model::metrics::Metrics;
use crate::model::status;
use crate::model::status::{PipelineState, Status, StatusPublisher};
use crate::pipeline::privacy;
use crate::pipeline::privacy::PrivacySwitch;
use crate::pipeline::{self, video};
use crate::server::auth::Auth;
use crate::server::dispatch::{CameraHandle, Dispatcher, DispatcherDeps, unix_socket};
use crate::server::http;
use crate::server::photos::Photos;
use crate::server::rtc::{CameraStream, SessionManager};
use crate::server::sessions::SessionRegistry;
use crate::util::broadcast::Demand;
use crate::util::state_dir::Store;

/// The running program.
pub struct App {
    /// What it runs by.
    config: Config,
    address: SocketAddr,
    auth: Auth,
    board: StatusPublisher,
    control: Dispatcher,
    buttons: Option<buttons::Guard>,
    server: http::Server,
    service: SessionManager,
    socket: Option<unix_socket::Guard>,
    leds: Option<leds::Guard>,
    hotplug: Option<hotplug::Guard>,
    cameras: Vec<video::Guard>,
    microphone: Option<pipeline::audio::Guard>,
    manager: Notifier,
    /// Ends what tells systemd that this lives.
    life: DropGuard,
}

impl App {
    /// Starts everything. When it returns, the page can be reached; whether the camera works is told by the status.
    ///
    /// # Errors
    ///
    /// When the address can't be listened on, what is kept can't be read, or the kernel gives no thread.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let manager = Notifier::default();
        let metrics = Metrics::new();
        let store = Store::open(config.state_directory.as_deref());
        let auth = Auth::open(&config.auth, &store)?;
        let encryption = http::Encryption::open(&config.http.tls, &store)?;
        let registry = camera::Registry::default();
        let selectors = registry.selectors(config.cameras.iter().map(|camera| &camera.camera));
        let patterns: Vec<bool> = selectors.iter().map(camera::CameraSelector::is_pattern).collect();
        let microphone = find_microphone(&config, &patterns, &registry);
        let mut status = first_status(&config, &patterns, microphone.source());
        status.privacy = privacy::at_start(&config.privacy, &store);
        if status.privacy {
            tracing::info!("privacy switch on: cameras and microphone stay closed");
        }
        let board = StatusPublisher::new(status);
        let listener = match manager.listener()? {
            Some(listener) => http::adopt(listener, config.http.listen)?,
            None => http::bind(config.http.listen).await?,
        };
        let address = listener.local_addr().context("read the listener's address")?;

        let gate = http::Middleware::new(&config.http, &config.rtc.advertise, auth.clone(), metrics.clone());
        let (sound, microphone) = if microphone.is_off() {
            (None, None)
        } else {
            let (sound, guard) =
                pipeline::audio::start(microphone, &metrics, &board).context("start the microphone")?;
            (Some(sound), Some(guard))
        };
        let mut feeds = Vec::new();
        let (mut cameras, mut handles) = (Vec::new(), Vec::new());
        for (index, (camera, selector)) in config.cameras.iter().cloned().zip(selectors).enumerate() {
            let name = camera.camera.name.clone();
            let (video::Output { frames, profile, handle }, guard) =
                video::start(camera, selector, index, &metrics, &board)
                    .with_context(|| format!("start the camera {name}"))?;
            handles.push(CameraHandle { name: name.clone(), video: handle });
            feeds.push(CameraStream { name, index, video: frames, profile, audio: sound.clone() });
            cameras.push(guard);
        }
        let viewers = SessionRegistry::new(metrics.clone(), board.clone());
        let videos = feeds.iter().map(|feed| feed.video.demand().clone());
        let sources: Vec<Demand> = videos.chain(sound.iter().map(|sound| sound.demand().clone())).collect();
        let control = Dispatcher::new(DispatcherDeps {
            cameras: handles,
            sessions: viewers.clone(),
            status: board.clone(),
            metrics: metrics.clone(),
            devices: Box::new(|| (camera::list(), audio::list())),
            privacy: PrivacySwitch::new(board.clone(), sources.clone(), store.clone()),
            photos: Photos::open(&config.photos, &store),
        });
        let socket = open_socket(&store, &control);
        let dispatcher = control.clone();
        let hotplug = hotplug::start(move || {
            registry.notify_hotplug();
            sources.iter().for_each(Demand::nudge);
            dispatcher.notify_device_change();
        });
        let service =
            SessionManager::new(config.rtc.clone(), feeds.clone(), viewers, metrics.clone(), control.clone())?;
        let sessions = service.clone();
        auth.on_revoked(move |id| sessions.end_sessions_of(id));
        if let Err(error) = auth.watch() {
            tracing::warn!("changed passwords and revoked tokens hold with the next request only: {error}");
        }
        let life = CancellationToken::new();
        let pictures = feeds.iter().map(|feed| watched_stream(feed, &metrics)).collect();
        let keeping = manager.run(board.watch(), pictures, life.clone());
        let context = http::Context::new(service.clone(), feeds, board.clone(), metrics, auth.clone(), control.clone());
        let server = http::Server::start(listener, context, gate, encryption);
        // From here on the page can be reached.
        let leds = start_leds(&config, &board);
        let buttons = start_buttons(&config, &control);
        tokio::spawn(keeping);
        manager.ready();
        Ok(Self {
            config,
            address,
            auth,
            board,
            control,
            buttons,
            server,
            service,
            socket,
            leds,
            hotplug,
            cameras,
            microphone,
            manager,
            life: life.drop_guard(),
        })
    }

    /// Takes up what can be taken up of another configuration while viewers watch, and tells in the log what that is, and
    /// what needs a new start.
    pub fn reload(&mut self, new: &Config) {
        let running = self.config.adopting(new);
        self.server.reconfigure(&running.http, &running.rtc.advertise);
        self.service.reconfigure(&running.rtc);
        self.board.max_viewers(running.rtc.max_viewers);
        self.auth.set_session_days(running.auth.session_days);
        if running.leds != self.config.leds {
            // Their pins have to be free before they are taken again.
            self.leds = None;
            self.leds = start_leds(&running, &self.board);
        }
        if running.buttons != self.config.buttons {
            self.buttons = None;
            self.buttons = start_buttons(&running, &self.control);
        }
        match self.config.differing(&running).join(", ") {
            none if none.is_empty() => {
                tracing::info!("the configuration was read again; nothing new of it can be taken up")
            }
            taken => tracing::info!("the configuration was read again; taken up: {taken}"),
        }
        match running.differing(new).join(", ") {
            none if none.is_empty() => {}
            rest => tracing::warn!("needs a new start (systemctl restart porthole): {rest}"),
        }
        self.config = running;
    }

    /// The line to systemd.
    pub fn manager(&self) -> Notifier {
        self.manager
    }

    /// Where the page is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who is let in.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Stops accepting, says goodbye to the viewers, and joins the media threads.
    pub async fn stop(self) {
        let Self { buttons, server, service, socket, leds, hotplug, cameras, microphone, manager, life, .. } = self;
        manager.stopping();
        drop((life, socket));
        let (served, ()) = tokio::join!(server.stop(), service.stop());
        if let Err(error) = served {
            tracing::error!("stop: {error:#}");
        }
        // The threads look up five times a second; joining them blocks.
        let joined = tokio::task::spawn_blocking(move || {
            drop((buttons, hotplug, cameras, microphone));
            // They show that porthole runs until it ends.
            drop(leds);
        })
        .await;
        if let Err(error) = joined {
            tracing::error!("stop the media threads: {error}");
        }
    }
}

/// The socket for the shell of the board. Without it the rest works.
fn open_socket(store: &Store, control: &Dispatcher) -> Option<unix_socket::Guard> {
    // In the runtime directory, where there is one, the state directory is not needed.
    let state = store.create().inspect_err(|error| tracing::debug!("{error:#}")).ok();
    let path = unix_socket::path(state)?;
    let opened = unix_socket::open(path, control.clone());
    opened.inspect_err(|error| tracing::warn!("`porthole ctl` will not reach this program: {error:#}")).ok()
}

/// The lights; a board that has none goes on.
fn start_leds(config: &Config, board: &StatusPublisher) -> Option<leds::Guard> {
    leds::start(&config.leds, board).inspect_err(|error| tracing::error!("start the lights: {error}")).ok()
}

/// The buttons, whose commands are carried out in the order in which they are sent; a board that has none goes on.
fn start_buttons(config: &Config, control: &Dispatcher) -> Option<buttons::Guard> {
    let (runtime, control) = (tokio::runtime::Handle::current(), control.clone());
    // A button's thread may wait: nothing but the next press waits for it.
    let press = move |request: &str| runtime.block_on(control.run_button_command(request));
    buttons::start(config.buttons.clone(), press)
        .inspect_err(|error| tracing::error!("start the buttons: {error}"))
        .ok()
}

/// The microphone, which may be meant by way of the first camera.
fn find_microphone(config: &Config, patterns: &[bool], registry: &camera::Registry) -> Microphone {
    let (device, registry) = (config.cameras.first().map(|camera| camera.camera.device.clone()), registry.clone());
    let context = DeviceContext {
        pattern: patterns.first() == Some(&true),
        camera: Box::new(move || camera::usb_device(&registry, device.as_ref()?)),
    };
    Microphone::new(config.audio.clone(), context)
}

/// Whether pictures flow from a camera, for systemd's watchdog.
fn watched_stream(feed: &CameraStream, metrics: &Metrics) -> WatchedStream {
    let (video, metrics, label) =
        (feed.video.clone(), metrics.clone(), metrics::CameraLabel { camera: feed.name.clone() });
    let health = move || StreamHealth {
        watched: video.subscribers() > 0,
        published: metrics.encoded.get_or_create(&label).get(),
    };
    WatchedStream { name: feed.name.clone(), health: Box::new(health) }
}

fn first_status(config: &Config, patterns: &[bool], sound: Option<String>) -> Status {
    let cameras = config.cameras.iter().zip(patterns).map(|(camera, pattern)| status::CameraStatus {
        name: camera.camera.name.clone(),
        device: camera.camera.device.to_string(),
        pattern: *pattern,
        ..Default::default()
    });
    Status {
        cameras: cameras.collect(),
        audio: status::Audio {
            device: config.audio.device.clone(),
            state: if sound.is_some() { PipelineState::Idle } else { PipelineState::Off },
            source: sound,
            fault: None,
        },
        max_viewers: config.rtc.max_viewers,
        ..Default::default()
    }
}
