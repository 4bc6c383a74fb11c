//! Starts all parts in the right order and stops them in reverse. What the parts do does not belong here.

mod initial_status;
mod media;

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::capture::{audio, camera};
use crate::config::Config;
use crate::device::systemd::Notifier;
use crate::device::{buttons, hotplug, leds};
use crate::model::metrics::Metrics;
use crate::model::status::StatusPublisher;
use crate::pipeline::motion::MotionHandle;
use crate::pipeline::privacy;
use crate::pipeline::privacy::PrivacySwitch;
use crate::pipeline::recorder;
use crate::pipeline::recorder::{Library, RateHold, RecorderSource, RecordingMode};
use crate::server::auth::Auth;
use crate::server::dispatch::{Dispatcher, DispatcherDeps, unix_socket};
use crate::server::floor::Floor;
use crate::server::hooks;
use crate::server::hooks::HookDeps;
use crate::server::http;
use crate::server::mqtt;
use crate::server::mqtt::MqttDeps;
use crate::server::photos::Photos;
use crate::server::publish;
use crate::server::publish::{PublishDeps, Publishers};
use crate::server::rtc::{CameraStream, SessionManager};
use crate::server::rtsp::{RtspContext, RtspServer};
use crate::server::sessions::SessionRegistry;
use crate::util::broadcast::Demand;
use crate::util::state_dir::StateDir;
use initial_status::initial_status;
use media::{MediaDevices, MediaGuards, MediaPipelines};

/// The running program.
pub struct App {
    /// The configuration in effect.
    config: Config,
    address: SocketAddr,
    auth: Auth,
    publisher: StatusPublisher,
    dispatcher: Dispatcher,
    buttons: Option<buttons::Guard>,
    mqtt: mqtt::Guard,
    hooks: hooks::Guard,
    hook_deps: HookDeps,
    server: http::Server,
    session_manager: SessionManager,
    rtsp: Option<RtspServer>,
    publishers: Publishers,
    recorder: Option<recorder::Guard>,
    socket: Option<unix_socket::Guard>,
    leds: Option<leds::Guard>,
    hotplug: Option<hotplug::Guard>,
    media: MediaGuards,
    motions: Vec<MotionHandle>,
    notifier: Notifier,
    /// Stops the watchdog task when dropped.
    watchdog: DropGuard,
}

impl App {
    /// Starts everything. When it returns, the page can be reached; whether the cameras work is in the status.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, the state directory cannot be read, or a thread cannot be created.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let notifier = Notifier::default();
        let metrics = Metrics::new();
        let store = StateDir::open(config.state_directory.as_deref());
        let photos = Photos::open(&config.photos, &store);
        let library = Library::open(config.recording.directory.as_deref(), &store);
        store.remove_leftovers();
        photos.remove_leftovers();
        let auth = Auth::open(&config.auth, &store)?;
        let encryption = http::Encryption::open(&config.http.tls, &store)?;
        let devices = MediaDevices::new(&config);
        let registry = devices.registry.clone();
        let mut status = initial_status(&config, &devices, &library);
        status.privacy = privacy::at_start(&config.privacy, &store);
        status.damaged_files = store.set_aside_files();
        if status.privacy {
            tracing::info!("privacy switch on: cameras and microphone stay closed");
        }
        let publisher = StatusPublisher::new(status.clone());
        let listener = match notifier.listener()? {
            Some(listener) => http::adopt(listener, config.http.listen)?,
            None => http::bind(config.http.listen).await?,
        };
        let address = listener.local_addr().context("read the listener's address")?;

        let middleware = http::Middleware::new(&config.http, &config.rtc.advertise, auth.clone(), metrics.clone());
        let media = devices.start(&config, &metrics, &publisher)?;
        let sources = media.sources();
        let MediaPipelines { streams, handles, motions, audio: _, heard, shown, threads, guards: media } = media;
        let recorded =
            streams.iter().zip(&motions).map(|(stream, motion)| recorder_source(&config, stream, motion)).collect();
        let (recorder, recorder_guard) =
            recorder::start(&config.recording, &config.timelapse, library, recorded, &metrics, &publisher)
                .context("start the recorder")?;
        let moving: Vec<_> =
            motions.iter().filter(|motion| motion.is_enabled()).map(|motion| motion.events().clone()).collect();
        let hook_deps = HookDeps {
            status: publisher.clone(),
            motions: moving.clone(),
            library: recorder.library().clone(),
            metrics: metrics.clone(),
        };
        let hooks = hooks::start(&config.hooks, &hook_deps, status);
        let sessions = SessionRegistry::new(metrics.clone(), publisher.clone());
        let privacy_switch = PrivacySwitch::new(publisher.clone(), sources.clone(), store.clone());
        let floor = Floor::new(config.floor.clone(), heard, shown, publisher.clone(), metrics.clone());
        let switches = publish::switches(&config.publish);
        let dispatcher = Dispatcher::new(DispatcherDeps {
            cameras: handles,
            sessions: sessions.clone(),
            status: publisher.clone(),
            metrics: metrics.clone(),
            devices: Box::new(|| (camera::list(), audio::list())),
            floor,
            privacy: privacy_switch.clone(),
            photos,
            publish: switches.clone(),
            recorder: recorder.clone(),
        });
        let watchdog = CancellationToken::new();
        for events in moving {
            let tell = dispatcher.clone().tell_motion(events.subscribe());
            tokio::spawn(watchdog.clone().run_until_cancelled_owned(tell));
        }
        let socket = open_socket(&store, &dispatcher);
        let changes = dispatcher.clone();
        let hotplug = hotplug::start(move || {
            registry.notify_hotplug();
            sources.iter().for_each(Demand::wake);
            changes.notify_device_change();
        });
        let watching = sessions.clone();
        auth.set_watching(move || watching.owners());
        let rtsp_context = RtspContext {
            streams: streams.clone().into(),
            sessions: sessions.clone(),
            auth: auth.clone(),
            status: publisher.clone(),
            metrics: metrics.clone(),
        };
        let session_manager =
            SessionManager::new(config.rtc.clone(), streams.clone(), sessions, metrics.clone(), dispatcher.clone())?;
        let publish_deps = PublishDeps {
            sessions: session_manager.clone(),
            cameras: streams.clone(),
            switches,
            status: publisher.clone(),
            metrics: metrics.clone(),
        };
        let context = http::Context::new(
            session_manager.clone(),
            streams,
            publisher.clone(),
            metrics.clone(),
            auth.clone(),
            dispatcher.clone(),
            recorder,
        );
        let (sessions, responses) = (session_manager.clone(), context.clone());
        auth.on_revoked(move |id| {
            sessions.end_sessions_of(id);
            responses.end_responses_to(id);
        });
        if let Err(error) = auth.watch() {
            tracing::warn!("changed passwords and revoked tokens take effect only at the next request: {error}");
        }
        let watchdog_task = notifier.run(publisher.watch(), threads, watchdog.clone());
        tokio::spawn(watchdog.clone().run_until_cancelled_owned(privacy_switch.retry_writes()));
        let rtsp = match config.rtsp.listen {
            Some(listen) => Some(RtspServer::start(listen, rtsp_context).await?),
            None => None,
        };
        let server = http::Server::start(listener, context, middleware, encryption);
        // The page can be reached from here on.
        let leds = start_leds(&config, &publisher);
        let buttons = start_buttons(&config, &dispatcher);
        let deps = MqttDeps { dispatcher: dispatcher.clone(), status: publisher.clone(), metrics };
        let mqtt = mqtt::start(&config.mqtt, &store, deps);
        let publishers = Publishers::start(&config.publish, &publish_deps);
        tokio::spawn(watchdog_task);
        notifier.ready();
        Ok(Self {
            config,
            address,
            auth,
            publisher,
            dispatcher,
            buttons,
            mqtt,
            hooks,
            hook_deps,
            server,
            session_manager,
            rtsp,
            publishers,
            recorder: recorder_guard,
            socket,
            leds,
            hotplug,
            media,
            motions,
            notifier,
            watchdog: watchdog.drop_guard(),
        })
    }

    /// Applies those settings of a new configuration that can change at run time, and logs which those are and which need a
    /// restart.
    pub fn reload(&mut self, new: &Config) {
        let running = self.config.adopting(new);
        self.server.reconfigure(&running.http, &running.rtc.advertise);
        self.session_manager.reconfigure(&running.rtc);
        self.publisher.max_viewers(running.rtc.max_viewers);
        self.auth.set_session_days(running.auth.session_days);
        self.mqtt.reconfigure(&running.mqtt);
        for (motion, camera) in self.motions.iter().zip(&running.cameras) {
            motion.reconfigure(&camera.motion);
        }
        if running.leds != self.config.leds {
            // Their pins have to be released before they are requested again.
            self.leds = None;
            self.leds = start_leds(&running, &self.publisher);
        }
        if running.buttons != self.config.buttons {
            self.buttons = None;
            self.buttons = start_buttons(&running, &self.dispatcher);
        }
        if running.hooks != self.config.hooks {
            self.hooks = hooks::start(&running.hooks, &self.hook_deps, self.publisher.snapshot());
        }
        match self.config.differing(&running).join(", ") {
            keys if keys.is_empty() => {
                tracing::info!("configuration reloaded; nothing to apply")
            }
            keys => tracing::info!("configuration reloaded; applied: {keys}"),
        }
        match running.differing(new).join(", ") {
            keys if keys.is_empty() => {}
            keys => tracing::warn!("these settings need a restart (systemctl restart porthole): {keys}"),
        }
        self.config = running;
    }

    /// Notifications to systemd.
    pub fn notifier(&self) -> Notifier {
        self.notifier
    }

    /// The address that the page is served on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the RTSP server, if there is one.
    pub fn rtsp_address(&self) -> Option<SocketAddr> {
        self.rtsp.as_ref().map(RtspServer::address)
    }

    /// Authentication.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Stops accepting connections, closes the sessions, and joins the media threads.
    pub async fn stop(self) {
        let Self {
            buttons,
            mqtt,
            hooks,
            server,
            session_manager,
            rtsp,
            publishers,
            recorder,
            socket,
            leds,
            hotplug,
            media,
            notifier,
            watchdog,
            ..
        } = self;
        notifier.stopping();
        drop((watchdog, socket));
        let stop_rtsp = async {
            if let Some(rtsp) = rtsp {
                rtsp.stop().await;
            }
        };
        let stop_recorder = async {
            if let Some(recorder) = &recorder {
                recorder.stop().await;
            }
        };
        // Publications first, so that they do not take the end of their sessions for a failure.
        let ((), served, (), (), (), ()) = tokio::join!(
            publishers.stop(),
            server.stop(),
            session_manager.stop(),
            stop_rtsp,
            stop_recorder,
            hooks.stop()
        );
        // Only now, because it tells that nobody watches any more.
        mqtt.stop().await;
        if let Err(error) = served {
            tracing::error!("stop: {error:#}");
        }
        // The threads check for a stop five times a second; joining them blocks.
        let joined = tokio::task::spawn_blocking(move || {
            // The recordings are written to their end.
            drop((recorder, buttons, hotplug, media));
            // Last, because they show that porthole is running.
            drop(leds);
        })
        .await;
        if let Err(error) = joined {
            tracing::error!("stop the media threads: {error}");
        }
    }
}

/// What of a camera would be recorded.
fn recorder_source(config: &Config, stream: &CameraStream, motion: &MotionHandle) -> RecorderSource {
    let rate = stream.rate.clone();
    let is_recorded = motion.is_enabled() && config.recording.mode == RecordingMode::Events;
    RecorderSource {
        index: stream.index,
        name: stream.name.clone(),
        video: stream.video.clone(),
        audio: stream.audio.clone().filter(|_| config.recording.audio),
        channels: config.audio.channels.clamp(1, 2) as u8,
        motion: is_recorded.then(|| motion.events().clone()),
        hold_rate: Box::new(move || -> RateHold { Box::new(rate.join_locally()) }),
    }
}

/// Opens the Unix socket of `porthole ctl`. The rest works without it.
fn open_socket(store: &StateDir, dispatcher: &Dispatcher) -> Option<unix_socket::Guard> {
    // Without a state directory it may still be in the runtime directory.
    let state = store.create().inspect_err(|error| tracing::debug!("{error:#}")).ok();
    let path = unix_socket::path(state)?;
    let opened = unix_socket::open(path, dispatcher.clone());
    opened.inspect_err(|error| tracing::warn!("`porthole ctl` will not work: {error:#}")).ok()
}

/// Starts the status LEDs. The rest works without them.
fn start_leds(config: &Config, publisher: &StatusPublisher) -> Option<leds::Guard> {
    leds::start(&config.leds, publisher).inspect_err(|error| tracing::error!("start the LEDs: {error}")).ok()
}

/// Starts the buttons, whose commands are carried out in order. The rest works without them.
fn start_buttons(config: &Config, dispatcher: &Dispatcher) -> Option<buttons::Guard> {
    let (runtime, dispatcher) = (tokio::runtime::Handle::current(), dispatcher.clone());
    // A button's thread may block: only its next press waits.
    let press = move |request: &str| runtime.block_on(dispatcher.run_button_command(request));
    buttons::start(config.buttons.clone(), press)
        .inspect_err(|error| tracing::error!("start the buttons: {error}"))
        .ok()
}
