//! What a root asks of the sink: that it can be cut back.

use steadfast_engine_core::ActionSink;

/// A sink of which what was reported since a mark can be taken back.
///
/// **To ensure correctness** the implementor sees to it that after [`cut`](MarkedSink::cut) nothing tells that
/// anything was reported since the mark was taken, and that marks of before stay good.
pub trait MarkedSink: ActionSink {
    /// A place in what was reported.
    type Mark;

    /// The place behind what was reported last.
    fn mark(&self) -> Self::Mark;

    /// Takes back what was reported since the mark was taken.
    fn cut(&mut self, mark: &Self::Mark);
}
