//! The command line, as types.

use std::ffi::OsString;

xflags::xflags! {
    /// The project's one tool.
    cmd xtask {
        /// Run every check, or one job; never writes to the sources. `ci list` shows the jobs.
        cmd ci {
            /// Name of one job.
            optional job: String
        }
        /// Show the jobs of `ci`.
        cmd list {}
        /// Do what can be done by machine about the findings of `ci`: format, apply lint suggestions.
        cmd fix {}
        /// Check layers, sizes, invariants, manifests and wording of the repository.
        cmd tidy {}
        /// Run the tests of every library, as the README does; arguments go to `cargo test`.
        cmd test {
            repeated args: OsString
        }
        /// Measure NAME (or `all`) against its peers; writes target/bench/NAME.json and .svg.
        cmd bench {
            required name: String
            /// At most two minutes: fewer and smaller rounds.
            optional --quick
            /// Only works that begin so, for benches whose works can be chosen.
            optional --only work: String
            /// Compile the measuring program by a profile of its quick works, for `engine`.
            optional --profiled
        }
        /// Run the long sweeps, all or one of them.
        cmd soak {
            optional name: String
        }
    }
}
