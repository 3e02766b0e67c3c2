//! The images that pods can run, and how the simulated ones behave.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

#[cfg(feature = "process")]
use crate::process::{ProcessImage, ServiceImage};

/// What stands behind an image name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Image {
    /// A program on this machine, run as a child process.
    #[cfg(feature = "process")]
    Process(ProcessImage),
    /// A service inside this process.
    #[cfg(feature = "process")]
    Service(ServiceImage),
    /// A program that exists in virtual time only.
    Simulated(Behaviour),
}

impl Image {
    /// Returns which runtime runs the image.
    #[must_use]
    pub fn kind(&self) -> RuntimeKind {
        match self {
            #[cfg(feature = "process")]
            Self::Process(_) => RuntimeKind::Process,
            #[cfg(feature = "process")]
            Self::Service(_) => RuntimeKind::Service,
            Self::Simulated(_) => RuntimeKind::Simulated,
        }
    }

    /// Returns the behaviour of a simulated image.
    #[must_use]
    pub fn behaviour(&self) -> Option<&Behaviour> {
        match self {
            #[cfg(feature = "process")]
            Self::Process(_) | Self::Service(_) => None,
            Self::Simulated(behaviour) => Some(behaviour),
        }
    }
}

impl From<Behaviour> for Image {
    fn from(behaviour: Behaviour) -> Self {
        Self::Simulated(behaviour)
    }
}

/// Names the runtimes of a kubelet; it decides the range of pod addresses too.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum RuntimeKind {
    /// Real children; pods get addresses of 127.0.0.0/8.
    Process,
    /// Services inside this process; pods get addresses of 127.0.0.0/8.
    Service,
    /// Virtual time, no sockets; pods get addresses of 10.244.0.0/16.
    Simulated,
}

/// A registry of images: what a pull of a name finds.
///
/// A name that is not there gives `ErrImagePull`, then `ImagePullBackOff`.
#[derive(Clone, Debug, Default)]
pub struct Images {
    by_name: BTreeMap<String, Image>,
    fallback: Option<Image>,
    notices: bool,
}

impl Images {
    /// Creates an empty registry: every pull fails.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a registry that answers each name with a well-behaved simulated image.
    #[must_use]
    pub fn any() -> Self {
        Self { fallback: Some(Behaviour::default().into()), ..Self::default() }
    }

    /// Lets an Event of each pod tell that its image is one of those which [`Images::any`] makes up.
    #[must_use]
    pub fn with_notice(mut self) -> Self {
        self.notices = true;
        self
    }

    /// Returns what an Event has to tell about an image, if anything.
    pub(crate) fn notice(&self, name: &str) -> Option<String> {
        let made_up = self.notices && !self.by_name.contains_key(name);
        made_up.then(|| {
            format!(
                "no program stands behind image \"{name}\": its container is simulated, without a \
                 process"
            )
        })
    }

    /// Adds or replaces an image.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, image: impl Into<Image>) -> Self {
        self.insert(name, image);
        self
    }

    /// Adds or replaces an image.
    pub fn insert(&mut self, name: impl Into<String>, image: impl Into<Image>) {
        self.by_name.insert(name.into(), image.into());
    }

    /// Removes an image, also one that [`Images::any`] would answer.
    pub fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    /// Returns the image of a name for a container that has to end on its own: what is made up
    /// does so.
    pub(crate) fn get_finite(&self, name: &str) -> Option<Image> {
        match (self.by_name.get(name), &self.fallback) {
            (Some(image), _) => Some(image.clone()),
            (None, Some(_)) => Some(Behaviour::finishing().into()),
            (None, None) => None,
        }
    }

    /// Returns the image of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Image> {
        self.by_name.get(name).or(self.fallback.as_ref())
    }
}

/// A span of time from which each use draws a value, from the cluster's seed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    min: Duration,
    max: Duration,
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self::exactly(Duration::ZERO);

    /// Creates a span that always gives the same value.
    #[must_use]
    pub const fn exactly(time: Duration) -> Self {
        Self { min: time, max: time }
    }

    /// Creates a span of milliseconds; an empty range gives its start.
    #[must_use]
    pub fn millis(range: RangeInclusive<u64>) -> Self {
        let (min, max) = range.into_inner();
        Self { min: Duration::from_millis(min), max: Duration::from_millis(max.max(min)) }
    }

    /// Draws a value, in whole milliseconds: the grain of tokio's timers.
    pub fn draw(self, random: &mut fastrand::Rng) -> Duration {
        if self.min == self.max {
            return self.min;
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(random.u64(millis(self.min)..=millis(self.max)))
    }
}

impl From<Duration> for Span {
    fn from(time: Duration) -> Self {
        Self::exactly(time)
    }
}

/// How a simulated container ends on its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Crash {
    /// Each run ends so long after its start.
    After(Duration),
    /// The first runs of a container end at the start; the next one is fine.
    FirstRuns(u32),
    /// Never.
    Never,
}

/// What a simulated container answers to requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Answers {
    /// So many of a thousand requests get a 5xx answer.
    Errors(u16),
    /// Every request is answered well.
    Well,
}

/// When a simulated container becomes ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Readiness {
    /// So long after its start.
    After(Span),
    /// Never: its readiness probe keeps failing.
    Never,
    /// At once: there is no readiness probe.
    Unprobed,
}

/// The behaviour of a simulated image.
///
/// The default starts in 100 ms, is ready 200 ms later, answers well, serves on
/// for 5 s after SIGTERM and exits 1 s later: a service that drains correctly.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Behaviour {
    /// From the binding of the pod to the start of the process: pull and sandbox.
    pub start: Span,
    /// When it becomes ready.
    pub readiness: Readiness,
    /// How it ends on its own.
    pub crash: Crash,
    /// The exit code of a crash.
    pub exit_code: i32,
    /// What it answers.
    pub answers: Answers,
    /// How long it goes on accepting requests after SIGTERM.
    pub lame_duck: Span,
    /// From the end of the lame duck to its exit: requests in flight are finished.
    pub drain: Span,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            start: Span::exactly(Duration::from_millis(100)),
            readiness: Readiness::After(Span::exactly(Duration::from_millis(200))),
            crash: Crash::Never,
            exit_code: 1,
            answers: Answers::Well,
            lame_duck: Span::exactly(Duration::from_secs(5)),
            drain: Span::exactly(Duration::from_secs(1)),
        }
    }
}

impl Behaviour {
    /// Returns an image whose process stops serving at SIGTERM and exits at once.
    #[must_use]
    pub fn abrupt() -> Self {
        Self { lame_duck: Span::ZERO, drain: Span::ZERO, ..Self::default() }
    }

    /// Returns an image that never becomes ready.
    #[must_use]
    pub fn never_ready() -> Self {
        Self { readiness: Readiness::Never, ..Self::default() }
    }

    /// Returns an image that exits with code 1 at each start.
    #[must_use]
    pub fn crashing() -> Self {
        Self { crash: Crash::FirstRuns(u32::MAX), ..Self::default() }
    }

    /// Returns an image that does its work in half a second and exits with code 0.
    #[must_use]
    pub fn finishing() -> Self {
        let work = Duration::from_millis(500);
        Self { crash: Crash::After(work), exit_code: 0, ..Self::default() }
    }

    /// Sets the time from binding to the start of the process.
    #[must_use]
    pub fn start(mut self, time: impl Into<Span>) -> Self {
        self.start = time.into();
        self
    }

    /// Sets the time from start to readiness.
    #[must_use]
    pub fn ready_after(mut self, time: impl Into<Span>) -> Self {
        self.readiness = Readiness::After(time.into());
        self
    }

    /// Sets how the process ends on its own.
    #[must_use]
    pub fn crash(mut self, crash: Crash) -> Self {
        self.crash = crash;
        self
    }

    /// Sets what the process answers.
    #[must_use]
    pub fn answers(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }

    /// Sets how long the process serves after SIGTERM.
    #[must_use]
    pub fn lame_duck(mut self, time: impl Into<Span>) -> Self {
        self.lame_duck = time.into();
        self
    }

    /// Sets the time from the end of serving to the exit.
    #[must_use]
    pub fn drain(mut self, time: impl Into<Span>) -> Self {
        self.drain = time.into();
        self
    }
}
