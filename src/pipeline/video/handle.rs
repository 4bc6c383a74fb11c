//! What others may ask of a running pipeline: its newest picture, other controls, another size, rate or bitrate.
//!
//! A question goes to the capture thread through a short queue and is answered there (`service`); nothing here waits for
//! more than the camera. Who may ask belongs to `control`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::{Config, Part};
use crate::media::convert;
use crate::media::convert::Still;
use crate::media::encoder;
use crate::media::{EncodedFrame, RawFrame};
use crate::model::inventory::{Control, Setting};
use crate::model::status;
use crate::util::broadcast::{Broadcast, RecvError};

/// Questions that wait for the capture thread, which looks after every picture: a handful of viewers at once. Whoever finds
/// the queue full is told so.
const WAITING: usize = 8;

/// How long a question waits for its answer: the slowest cameras take 5 s from the opening to the first picture.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the pictures shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// Width and height in pixels; the camera gives what is nearest.
    pub size: Option<(u32, u32)>,
    /// Frames a second; the camera gives what is nearest.
    pub fps: Option<u32>,
    /// Bitrate in bit/s.
    pub bitrate: Option<u32>,
}

/// What the pictures shall be by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wished {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Frames a second.
    pub fps: u32,
    /// Bitrate in bit/s.
    pub bitrate: u32,
}

/// A picture as a JPEG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jpeg {
    /// The file.
    pub data: Bytes,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Why a camera does not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has no such control.
    #[error("{0}")]
    NoControl(String),
    /// The control cannot be that; nothing was set.
    #[error("{words}")]
    Value {
        /// The control as it was named.
        control: String,
        /// What is wrong, and what would be right.
        words: String,
    },
    /// The device refuses.
    #[error("{0}")]
    Refused(String),
    /// It gives no picture at this time.
    #[error("{0}")]
    Away(String),
    /// It is asked by too many at once.
    #[error("{0}")]
    Busy(String),
}

/// Asks things of a camera; a cheap handle.
#[derive(Debug, Clone)]
pub struct Handle {
    name: Arc<str>,
    frames: Broadcast<EncodedFrame>,
    questions: Questions,
    /// Where the camera's status is told, and its place there.
    board: status::Board,
    index: usize,
    /// One picture at a time is taken out of the camera's memory, of which it has only as much as it needs.
    pictures: Arc<Semaphore>,
}

impl Handle {
    pub(super) fn new(part: &Part) -> Self {
        let handle = Self {
            name: part.label.camera.as_str().into(),
            frames: part.frames.clone(),
            questions: part.questions.clone(),
            board: part.board.clone(),
            index: part.index,
            pictures: Arc::new(Semaphore::new(1)),
        };
        handle.tell(handle.wished());
        handle
    }

    /// The newest picture in the camera's full size; the camera is opened for it where nobody watches. A camera that gives
    /// JPEGs is taken at its word; of one that encodes H.264 by itself it is the next key frame, decoded.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] of a picture that cannot be made a JPEG of, [`Error::Away`] and [`Error::Busy`].
    pub async fn snapshot(&self) -> Result<Jpeg, Error> {
        let one = self.pictures.clone().acquire_owned();
        let one = timeout(PATIENCE, one).await.ok().and_then(Result::ok).ok_or_else(|| self.busy())?;
        // Kept from the question to the key frame, so that the camera is not closed in between.
        let _interest = self.frames.demand().register();
        let picture = match self.ask(Question::Picture).await? {
            Taken::Raw(frame) => Picture::Raw(frame),
            Taken::Encoded => Picture::Encoded(self.key_frame().await?),
        };
        let jpeg = tokio::task::spawn_blocking(move || {
            let still = picture.still()?;
            // From here on the camera has its memory back.
            drop(one);
            still.into_jpeg().map_err(encoder::Error::from)
        });
        match jpeg.await {
            Ok(Ok(convert::StillJpeg { width, height, data })) => Ok(Jpeg { data: data.into(), width, height }),
            Ok(Err(error)) => Err(Error::Refused(format!("{}: no picture: {error}", self.name))),
            Err(stopped) => Err(Error::Away(format!("{}: no picture: {stopped}", self.name))),
        }
    }

    /// The next key frame of the stream.
    async fn key_frame(&self) -> Result<EncodedFrame, Error> {
        let mut frames = self.frames.subscribe();
        self.frames.request_refresh();
        let key = async {
            loop {
                match frames.recv().await {
                    Ok(frame) if frame.key => return Ok(frame),
                    // Whoever waits for a key frame misses nothing before it.
                    Ok(_) | Err(RecvError::Missed(_)) => {}
                    Err(RecvError::Closed) => return Err(self.stopping()),
                }
            }
        };
        timeout(PATIENCE, key).await.unwrap_or_else(|_| Err(self.silent("key frame")))
    }

    /// The camera's controls as they stand; the camera is opened for it where nobody watches.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] and [`Error::Busy`].
    pub async fn controls(&self) -> Result<Vec<Control>, Error> {
        self.ask(Question::Controls).await
    }

    /// Sets controls, and keeps them so when the camera is opened anew. The answer has those that were named and those that
    /// changed with them. All are judged before one is set.
    ///
    /// # Errors
    ///
    /// As [`Error`] says; [`Error::Refused`] tells what could not be set of several.
    pub async fn set_controls(&self, settings: Vec<Setting>) -> Result<Vec<Control>, Error> {
        self.ask(|answer| Question::Set(settings, answer)).await
    }

    /// Sets the named controls, or all, to what the driver calls their defaults.
    ///
    /// # Errors
    ///
    /// As for [`set_controls`](Self::set_controls).
    pub async fn reset_controls(&self, names: Option<Vec<String>>) -> Result<Vec<Control>, Error> {
        self.ask(|answer| Question::Reset(names, answer)).await
    }

    /// Has the pictures be otherwise, until the program ends. The bitrate changes within the stream; for another size or rate
    /// an open camera is opened anew.
    ///
    /// # Errors
    ///
    /// [`Error::Away`] when the program stops.
    pub async fn set(&self, wish: Wish) -> Result<Wished, Error> {
        let wished = self.questions.wish(wish).ok_or_else(|| self.stopping())?;
        self.tell(wished);
        // A camera that could not be opened as it should have been may be now.
        self.frames.demand().nudge();
        Ok(wished)
    }

    /// What the pictures shall be by now.
    pub fn wished(&self) -> Wished {
        self.questions.wished()
    }

    /// Tells what no camera answers to; size and rate are told as they are.
    fn tell(&self, wished: Wished) {
        self.board.camera(self.index, |camera| camera.bitrate = Some(wished.bitrate));
    }

    async fn ask<T>(&self, question: impl FnOnce(Answer<T>) -> Question) -> Result<T, Error> {
        if self.frames.demand().barred().is_some() {
            return Err(Error::Away(format!("{}: {CUT}", self.name)));
        }
        let (answer, answered) = oneshot::channel();
        // First, so that the thread finds somebody interested.
        let _interest = self.frames.demand().register();
        match self.questions.put(question(answer)) {
            Put::Waits => {}
            Put::Full => return Err(self.busy()),
            Put::Closed => return Err(self.stopping()),
        }
        match timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.stopping()),
            Err(_) => Err(self.silent("picture")),
        }
    }

    fn busy(&self) -> Error {
        Error::Busy(format!("{}: {WAITING} questions wait for this camera already; try again in a moment", self.name))
    }

    fn silent(&self, what: &str) -> Error {
        Error::Away(format!("{}: no {what} within {} s", self.name, PATIENCE.as_secs()))
    }

    fn stopping(&self) -> Error {
        Error::Away(format!("{}: porthole is stopping", self.name))
    }
}

/// Why a camera that the privacy switch keeps closed answers nothing.
pub(super) const CUT: &str =
    "cut by the privacy switch; the command privacy.set, or a button on the board, brings it back";

/// What there is of a single picture.
#[derive(Debug)]
pub(super) enum Taken {
    /// The picture, in the camera's memory.
    Raw(RawFrame),
    /// The camera works, and gives a stream that pictures must be taken out of.
    Encoded,
}

/// A picture on its way.
enum Picture {
    Raw(RawFrame),
    Encoded(EncodedFrame),
}

impl Picture {
    /// Takes it out of the camera's memory.
    fn still(self) -> Result<Still, encoder::Error> {
        let frame = match self {
            Self::Raw(frame) => frame,
            Self::Encoded(frame) => encoder::decode(&frame)?,
        };
        Ok(Still::of(&frame)?)
    }
}

/// Where an answer goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What the capture thread is asked.
#[derive(Debug)]
pub(super) enum Question {
    /// The next picture.
    Picture(Answer<Taken>),
    /// The controls.
    Controls(Answer<Vec<Control>>),
    /// To set these.
    Set(Vec<Setting>, Answer<Vec<Control>>),
    /// To set these, or all, to their defaults.
    Reset(Option<Vec<String>>, Answer<Vec<Control>>),
}

impl Question {
    /// Answers that it cannot be done.
    pub(super) fn refuse(self, error: Error) {
        // Who does not wait any more needs no answer.
        match self {
            Self::Picture(answer) => drop(answer.send(Err(error))),
            Self::Controls(answer) | Self::Set(_, answer) | Self::Reset(_, answer) => drop(answer.send(Err(error))),
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_stale(&self) -> bool {
        match self {
            Self::Picture(answer) => answer.is_closed(),
            Self::Controls(answer) | Self::Set(_, answer) | Self::Reset(_, answer) => answer.is_closed(),
        }
    }
}

/// What is asked and wished; shared by the handles and the threads.
#[derive(Debug, Clone)]
pub(super) struct Questions(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    waiting: VecDeque<Question>,
    wished: Wished,
    closed: bool,
}

/// What became of a question.
enum Put {
    Waits,
    Full,
    Closed,
}

impl Questions {
    /// None yet, and the wishes of the configuration.
    pub fn new(config: &Config) -> Self {
        let camera = &config.camera;
        let size = (camera.width.target(), camera.height.target());
        let wished = Wished { size, fps: camera.fps.target(), bitrate: config.encoder.bitrate };
        Self(Arc::new(Mutex::new(State { waiting: VecDeque::new(), wished, closed: false })))
    }

    /// The one that waits longest.
    pub fn take(&self) -> Option<Question> {
        self.lock().waiting.pop_front()
    }

    /// What the pictures shall be.
    pub fn wished(&self) -> Wished {
        self.lock().wished
    }

    /// Nobody answers any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        // Those who wait are woken outside the lock.
        drop(waiting);
    }

    fn put(&self, question: Question) -> Put {
        let mut state = self.lock();
        if state.closed {
            return Put::Closed;
        }
        state.waiting.retain(|waiting| !waiting.is_stale());
        if state.waiting.len() >= WAITING {
            return Put::Full;
        }
        state.waiting.push_back(question);
        Put::Waits
    }

    fn wish(&self, wish: Wish) -> Option<Wished> {
        let mut state = self.lock();
        let wished = &mut state.wished;
        wished.size = wish.size.unwrap_or(wished.size);
        wished.fps = wish.fps.unwrap_or(wished.fps);
        wished.bitrate = wish.bitrate.unwrap_or(wished.bitrate);
        let wished = *wished;
        (!state.closed).then_some(wished)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
