//! The end of a run waits for its output.

use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::flow::pipeline::Pipeline;
use crate::flow::sink::Gauge;
use crate::run::control::Control;

/// How long the output may take once a signal has asked for the end, or the run's time is over.
pub const GRACE: Duration = Duration::from_millis(800);

/// Waits without a limit, until a signal asks for the end, or until `ends`.
pub struct OutputWait<'a> {
    control: &'a dyn Control,
    ends: Option<Instant>,
}

impl<'a> OutputWait<'a> {
    pub fn new(control: &'a dyn Control, ends: Option<Instant>) -> Self {
        OutputWait { control, ends }
    }

    /// Waits for that state of the pipeline, or gives up what is not written.
    pub fn until(&mut self, pipeline: &mut Pipeline<'_>, is_reached: fn(&Pipeline<'_>) -> bool) {
        /// How often to look whether a signal came.
        const LOOK: u16 = 40;
        pipeline.flush();
        while !is_reached(pipeline) {
            let now = Instant::now();
            if self.control.asked_to_end() {
                self.ends = Some(self.ends.unwrap_or(now + GRACE).min(now + GRACE));
            }
            if self.ends.is_some_and(|ends| now >= ends) {
                return pipeline.settle();
            }
            let gauges: Vec<Gauge> = pipeline.gauges().cloned().collect();
            let mut polled: Vec<_> =
                gauges.iter().map(|gauge| PollFd::new(gauge.progress(), PollFlags::POLLIN)).collect();
            let _ = poll(&mut polled, PollTimeout::from(LOOK));
            gauges.iter().for_each(Gauge::seen);
        }
    }
}
