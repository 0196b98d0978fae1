//! Where documents go.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use metrique_writer_core::format::Format as _;
use metrique_writer_format_emf::Emf;

use crate::Points;
use crate::catalogue::DEAD_LETTERS_BY_REASON;
use crate::points::Document;

/// Namespace of all metrics in CloudWatch.
pub const NAMESPACE: &str = "Tripline";

/// The dimension of all metrics: the function that tells them.
const FUNCTION: &str = "FunctionName";

/// The further dimension of what is told by reason.
const REASON: &str = "Reason";

/// Where a function tells its metrics, if anywhere. Cheap to share.
#[derive(Clone, Default)]
pub struct Metrics(Option<Arc<Mutex<Emitter>>>);

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Metrics").field(&self.0.is_some()).finish()
    }
}

struct Emitter {
    function: String,
    plain: Emf,
    by_reason: Emf,
    /// A document is written at once, so that no other line of the log gets into it.
    line: Vec<u8>,
    out: Box<dyn Write + Send>,
}

impl Metrics {
    /// Metrics of a function, told to `out`: one JSON document a line.
    #[must_use]
    pub fn of(function: &str, out: impl Write + Send + 'static) -> Self {
        let emf = |dimensions: &[&str]| {
            let dimensions = dimensions.iter().map(|name| (*name).to_owned()).collect();
            Emf::builder(NAMESPACE.to_owned(), vec![dimensions]).build()
        };
        Self(Some(Arc::new(Mutex::new(Emitter {
            function: function.to_owned(),
            plain: emf(&[FUNCTION]),
            by_reason: emf(&[FUNCTION, REASON]),
            line: Vec::new(),
            out: Box::new(out),
        }))))
    }

    /// Whether anybody listens.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Tells points.
    pub fn emit(&self, points: &Points) {
        self.with(|emitter| {
            let dimensions = [(FUNCTION, emitter.function.as_str())];
            emitter.plain.format(&Document { dimensions: &dimensions, points }, &mut emitter.line)
        });
    }

    /// Tells how many dead letters have which reason, at a time in milliseconds since 1970 UTC.
    pub fn emit_reasons(&self, at_ms: i64, reasons: &BTreeMap<&'static str, u64>) {
        for (reason, count) in reasons {
            let mut points = Points::at(at_ms);
            points.tell(DEAD_LETTERS_BY_REASON, *count);
            self.with(|emitter| {
                let dimensions = [(FUNCTION, emitter.function.as_str()), (REASON, reason)];
                emitter
                    .by_reason
                    .format(&Document { dimensions: &dimensions, points: &points }, &mut emitter.line)
            });
        }
    }

    /// Metrics are worth no batch: what cannot be told is said in the log.
    fn with<E: fmt::Display>(&self, format: impl FnOnce(&mut Emitter) -> Result<(), E>) {
        let Some(emitter) = &self.0 else { return };
        let mut emitter = emitter.lock().unwrap_or_else(PoisonError::into_inner);
        emitter.line.clear();
        if let Err(error) = format(&mut emitter) {
            tracing::warn!(%error, "metrics cannot be written");
            return;
        }
        let Emitter { line, out, .. } = &mut *emitter;
        if let Err(error) = out.write_all(line).and_then(|()| out.flush()) {
            tracing::warn!(%error, "metrics cannot be written");
        }
    }
}
