//! Runs flows over one bottleneck in steps of a virtual millisecond, and measures what the viewers get.

use std::time::{Duration, Instant};

use porthole::server::rtc::rate::allocation::{BitrateControl, EncoderDemand};

use crate::flow::{Flow, MIN_BITRATE, OwnEncoder};
use crate::link::{Link, LinkConfig};
use crate::random::Random;
use crate::tcp::{SEGMENT, Tcp};
use crate::viewer::{Report, Viewer, WirePacket};

const STEP: f64 = 0.001;

/// A longer time between two displayed frames is a freeze.
const FREEZE: f64 = 0.2;

/// One viewer: when it comes and goes, and its own part of the path.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    pub limit: f64,
    pub from: f64,
    pub until: f64,
    /// The time in which it is paused.
    pub pause: (f64, f64),
    /// One-way delay in addition to the link's.
    pub delay: f64,
    /// The machines that are busy with something else at times: the sender's and the viewer's.
    pub busy: (bool, bool),
    /// Whether there is audio.
    pub audio: bool,
    /// Its camera, if that encodes itself.
    pub own_encoder: Option<OwnEncoder>,
    /// The limit of the smaller rendition, if it is moved to that.
    pub small: Option<f64>,
    /// Its own link, instead of the one that all share.
    pub link: Option<LinkConfig>,
    /// When the sender learns that packets take another path.
    pub path_change: Option<f64>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            limit: 2e6,
            from: 0.0,
            until: f64::INFINITY,
            pause: (0.0, 0.0),
            delay: 0.0,
            busy: (false, false),
            audio: true,
            own_encoder: None,
            small: None,
            link: None,
            path_change: None,
        }
    }
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Setup {
    pub seconds: f64,
    pub seed: u64,
    /// The link from each time on.
    pub schedule: Vec<(f64, LinkConfig)>,
    pub clients: Vec<Client>,
    /// Whether all watch one camera, that of the first; otherwise each has one of its own.
    pub one_camera: bool,
    /// When a TCP flow begins.
    pub tcp: Option<f64>,
}

impl Setup {
    pub fn new(seconds: f64, link: LinkConfig) -> Self {
        Self {
            seconds,
            seed: 1,
            schedule: vec![(0.0, link)],
            clients: vec![Client::default()],
            one_camera: false,
            tcp: None,
        }
    }
}

/// The stalls of a busy machine, in which nothing runs there: 50 to 300 ms, a second or less between them.
#[derive(Debug)]
struct Stalls {
    random: Random,
    is_busy: bool,
    next: f64,
    until: f64,
}

impl Stalls {
    fn new(is_busy: bool, seed: u64) -> Self {
        Self { random: Random::new(seed), is_busy, next: 0.2, until: 0.0 }
    }

    fn is_stalled(&mut self, now: f64) -> bool {
        if self.is_busy && now >= self.next {
            self.until = now + 0.05 + 0.25 * self.random.unit();
            self.next = self.until + self.random.unit();
        }
        now < self.until
    }
}

enum Packet {
    Viewer(usize, WirePacket),
    Tcp(u64),
}

pub fn run(setup: &Setup) -> Outcome {
    let mut simulation = Simulation::new(setup);
    for step in 0..(setup.seconds / STEP) as u64 {
        let now = step as f64 * STEP;
        simulation.follow_schedule(now);
        simulation.agree(now);
        simulation.send_media(now);
        simulation.send_tcp(now);
        simulation.deliver(now);
        simulation.report(now);
        if step % 10 == 0 {
            simulation.queue.push((now, simulation.link.waiting()));
        }
    }
    let Simulation { flows, viewers, queue, tcp, .. } = simulation;
    Outcome { flows, viewers, queue, tcp: tcp.acked, end: setup.seconds }
}

/// A run in progress. What is under way outside of the link is kept with the time of its arrival.
struct Simulation<'s> {
    setup: &'s Setup,
    /// The next entry of the schedule.
    next: usize,
    current: LinkConfig,
    link: Link<Packet>,
    own_links: Vec<Option<Link<WirePacket>>>,
    /// The bitrate of the one camera.
    control: BitrateControl,
    begin: Instant,
    flows: Vec<Flow>,
    viewers: Vec<Viewer>,
    /// Those of the sender and of the viewer.
    stalls: Vec<[Stalls; 2]>,
    tcp: Tcp,
    back: Vec<Vec<(f64, Report)>>,
    arriving: Vec<Vec<(f64, WirePacket)>>,
    acks: Vec<(f64, u64)>,
    queue: Vec<(f64, f64)>,
}

impl<'s> Simulation<'s> {
    fn new(setup: &'s Setup) -> Self {
        let current = setup.schedule[0].1;
        let clients = &setup.clients;
        let seed = |index| setup.seed * 1_000 + index as u64;
        Self {
            setup,
            next: 0,
            current,
            link: Link::new(current, setup.seed),
            own_links: clients.iter().map(|client| client.link.map(|link| Link::new(link, setup.seed))).collect(),
            control: BitrateControl::new(MIN_BITRATE as u32, clients[0].limit as u32),
            begin: Instant::now(),
            flows: clients
                .iter()
                .enumerate()
                .map(|(index, client)| {
                    let mut flow = Flow::new(client.limit, seed(index));
                    (flow.audio, flow.own_encoder, flow.small) = (client.audio, client.own_encoder, client.small);
                    flow.follows = setup.one_camera && index > 0;
                    flow
                })
                .collect(),
            viewers: clients.iter().map(|_| Viewer::new()).collect(),
            stalls: clients
                .iter()
                .enumerate()
                .map(|(index, Client { busy: (sender, viewer), .. })| {
                    [Stalls::new(*sender, seed(index) + 100), Stalls::new(*viewer, seed(index) + 200)]
                })
                .collect(),
            tcp: Tcp::new(),
            back: vec![Vec::new(); clients.len()],
            arriving: vec![Vec::new(); clients.len()],
            acks: Vec::new(),
            queue: Vec::new(),
        }
    }

    fn follow_schedule(&mut self, now: f64) {
        while let Some((_, config)) = self.setup.schedule.get(self.next).filter(|(at, _)| *at <= now) {
            self.current = *config;
            self.link.set(self.current, now);
            self.next += 1;
        }
    }

    fn send_media(&mut self, now: f64) {
        for (index, client) in self.setup.clients.iter().enumerate() {
            let is_stalled = self.stalls[index][0].is_stalled(now);
            if is_stalled || now < client.from || now >= client.until {
                continue;
            }
            let flow = &mut self.flows[index];
            for (_, report) in self.back[index].extract_if(.., |(at, _)| *at <= now) {
                flow.on_report(report, now - client.from);
            }
            flow.paused = now >= client.pause.0 && now < client.pause.1;
            if client.path_change.is_some_and(|at| now >= at && now - STEP < at) {
                flow.on_path_change(now - client.from);
            }
            for packet in flow.send(now - client.from) {
                match &mut self.own_links[index] {
                    Some(link) => link.send(packet, packet.bytes, now),
                    None => self.link.send(Packet::Viewer(index, packet), packet.bytes, now),
                };
            }
            if self.setup.one_camera && index == 0 {
                let encoded = flow.encoded;
                self.flows.iter_mut().skip(1).for_each(|other| other.handed = encoded);
            }
        }
    }

    /// Has the one camera's encoder follow all viewers, and their requests for key frames.
    fn agree(&mut self, now: f64) {
        if !self.setup.one_camera {
            return;
        }
        let at = self.begin + Duration::from_secs_f64(now);
        let clients = self.setup.clients.iter();
        let here = clients.map(|client| now >= client.from && now < client.until).collect::<Vec<_>>();
        let watching = self.flows.iter_mut().zip((0..).zip(&here)).filter(|(_, (_, is_here))| **is_here);
        let demands: Vec<EncoderDemand> = watching
            .map(|(flow, (viewer, _))| EncoderDemand {
                viewer,
                owner: viewer,
                available: flow.room(now).max(0.0) as u32,
            })
            .collect();
        self.control.update(&demands, at);
        let bitrate = f64::from(self.control.bitrate());
        let mut is_key_wanted = false;
        for (flow, is_here) in self.flows.iter_mut().zip(here) {
            flow.agreed_bitrate = Some(bitrate);
            if flow.follows {
                flow.bitrate = bitrate;
                // Who comes needs one, too.
                is_key_wanted |= is_here && std::mem::take(&mut flow.key);
            }
        }
        self.flows[0].key |= is_key_wanted;
    }

    fn send_tcp(&mut self, now: f64) {
        if self.setup.tcp.is_none_or(|from| now < from) {
            return;
        }
        for (_, segment) in self.acks.extract_if(.., |(at, _)| *at <= now) {
            self.tcp.on_ack(segment, now);
        }
        for segment in self.tcp.send(now) {
            self.link.send(Packet::Tcp(segment), SEGMENT, now);
        }
    }

    fn deliver(&mut self, now: f64) {
        while let Some((at, packet)) = self.link.receive(now) {
            match packet {
                Packet::Viewer(index, packet) => {
                    self.arriving[index].push((at + self.setup.clients[index].delay, packet));
                }
                Packet::Tcp(segment) => self.acks.push((at + self.current.delay, segment)),
            }
        }
        for (link, arriving) in self.own_links.iter_mut().zip(&mut self.arriving) {
            if let Some(link) = link {
                arriving.extend(std::iter::from_fn(|| link.receive(now)));
            }
        }
        for ((viewer, arriving), stalls) in self.viewers.iter_mut().zip(&mut self.arriving).zip(&mut self.stalls) {
            let was_stalled = stalls[1].until > now - 2.0 * STEP;
            if stalls[1].is_stalled(now) {
                continue;
            }
            for (at, packet) in arriving.extract_if(.., |(at, _)| *at <= now) {
                // What waited for the machine arrives when it is read.
                viewer.receive(packet, if was_stalled { now } else { at });
            }
        }
    }

    /// The way back loses nothing unless the whole path is cut.
    fn report(&mut self, now: f64) {
        if self.current.loss >= 1.0 {
            return;
        }
        for (index, viewer) in self.viewers.iter_mut().enumerate() {
            if self.stalls[index][1].is_stalled(now) {
                continue;
            }
            let delay = self.current.delay + self.setup.clients[index].delay;
            self.back[index].extend(viewer.reports(now).into_iter().map(|report| (now + delay, report)));
        }
    }
}

/// What came of a run.
pub struct Outcome {
    pub flows: Vec<Flow>,
    pub viewers: Vec<Viewer>,
    /// The wait in the bottleneck's queue, each 10 ms.
    pub queue: Vec<(f64, f64)>,
    pub tcp: Vec<(f64, usize)>,
    end: f64,
}

impl Outcome {
    /// The share of the time from `from` to `to` in which the viewer's picture stands still.
    pub fn frozen(&self, viewer: usize, from: f64, to: f64) -> f64 {
        let shown = self.viewers[viewer].displayed.iter().map(|frame| frame.at).filter(|at| *at >= from && *at < to);
        let mut last = from;
        let mut frozen = 0.0;
        for at in shown.chain([to]) {
            if at - last > FREEZE {
                frozen += at - last;
            }
            last = at;
        }
        frozen / (to - from)
    }

    /// The delay from capture to display, in seconds: this quantile of the frames from `from` on. For viewers that are there
    /// from the start.
    pub fn delay(&self, viewer: usize, quantile: f64, from: f64) -> f64 {
        let shown = self.viewers[viewer].displayed.iter().filter(|frame| frame.at >= from);
        let mut delays: Vec<f64> = shown.map(|frame| frame.at - frame.captured).collect();
        delays.sort_by(f64::total_cmp);
        delays.get((delays.len() as f64 * quantile) as usize).copied().unwrap_or(f64::INFINITY)
    }

    /// The rate that arrives at the viewer from `from` to `to`, in bit/s.
    pub fn rate(&self, viewer: usize, from: f64, to: f64) -> f64 {
        rate(&self.viewers[viewer].received, from, to)
    }

    /// That of all viewers together.
    pub fn total_rate(&self, from: f64, to: f64) -> f64 {
        (0..self.viewers.len()).map(|viewer| self.rate(viewer, from, to)).sum()
    }

    pub fn tcp_rate(&self, from: f64, to: f64) -> f64 {
        rate(&self.tcp, from, to)
    }

    /// The longest wait in the queue from `from` to `to` that lasts for half a second: its least value in that time.
    pub fn standing_queue(&self, from: f64, to: f64) -> f64 {
        let waits: Vec<f64> =
            self.queue.iter().filter(|(at, _)| *at >= from && *at < to).map(|(_, wait)| *wait).collect();
        waits.windows(50).map(|window| window.iter().copied().fold(f64::INFINITY, f64::min)).fold(0.0, f64::max)
    }

    /// The most that was handed to the link in any 2 s from `from` on, in bit/s.
    pub fn peak_sent(&self, flow: usize, from: f64) -> f64 {
        let tenths = ((self.end - 2.0 - from) * 10.0).max(0.0) as u64;
        (0..=tenths)
            .map(|tenth| {
                let begin = from + tenth as f64 / 10.0;
                rate(&self.flows[flow].sent, begin, begin + 2.0)
            })
            .fold(0.0, f64::max)
    }

    /// The least estimate from `from` on.
    pub fn least_estimate(&self, flow: usize, from: f64) -> f64 {
        let estimates = self.flows[flow].estimates.iter().filter(|(at, _)| *at >= from);
        f64::from(estimates.map(|(_, estimate)| *estimate).min().unwrap_or(0))
    }

    /// When the first frame after `from` that was also captured after it was displayed.
    pub fn moving_after(&self, viewer: usize, from: f64) -> f64 {
        let fresh = |frame: &&crate::viewer::Displayed| {
            frame.at > from && frame.at - frame.captured < 0.5 && frame.captured > from
        };
        self.viewers[viewer].displayed.iter().find(fresh).map_or(f64::INFINITY, |frame| frame.at - from)
    }
}

fn rate(bytes: &[(f64, usize)], from: f64, to: f64) -> f64 {
    let bytes: usize = bytes.iter().filter(|(at, _)| *at >= from && *at < to).map(|(_, bytes)| bytes).sum();
    bytes as f64 * 8.0 / (to - from)
}
