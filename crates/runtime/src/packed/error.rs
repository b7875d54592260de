//! Why a file is no packed model that this program can run.

/// What is wrong with a packed model, and what to do about it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PackedError {
    /// The first bytes are not those of a packed model.
    #[error("not a packed model: make one with `edgecut convert MODEL.onnx MODEL.ecut`")]
    Magic,
    /// Written in another version of the format.
    #[error(
        "packed in format {format} by edgecut {writer}, this program reads format {expected}: \
         convert the model again with this version"
    )]
    Version {
        /// Version of edgecut that wrote it.
        writer: String,
        /// Its format.
        format: u32,
        /// The format that this program reads.
        expected: u32,
    },
    /// Weights lie in another order.
    #[error(
        "edgecut {writer} packed its weights in layout {layout}, this program reads layout \
         {expected}: convert the model again with this version"
    )]
    Layout {
        /// Version of edgecut that wrote it.
        writer: String,
        /// The layout of its weights.
        layout: u32,
        /// The layout that this program reads.
        expected: u32,
    },
    /// Packed for instructions that are missing here.
    #[error(
        "packed for the instruction set '{needed}', here the best is '{best}': convert the model \
         on this machine, or elsewhere with EDGECUT_ISA={best}"
    )]
    Isa {
        /// The instruction set that it needs.
        needed: String,
        /// The best one that may be used.
        best: &'static str,
    },
    /// This machine stores numbers the other way round.
    #[error("packed models run on little-endian machines only: run the ONNX file instead")]
    ByteOrder,
    /// The file ends too early.
    #[error("ends after {found} bytes of {needed}: truncated, copy or convert the model again")]
    Truncated {
        /// Bytes that it should have, as far as is known.
        needed: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// A checksum does not fit.
    #[error("the {part} was changed or damaged: copy or convert the model again")]
    Damaged {
        /// "header", "metadata" or "data".
        part: &'static str,
    },
    /// The metadata says what cannot be.
    #[error("not a valid plan: {problem}; convert the model again")]
    Invalid {
        /// What cannot be, and where.
        problem: String,
    },
    /// Entropy-coded weights, which this program was built without.
    #[error(
        "its weights are entropy-coded, which this program was built without: convert the model \
         without --coded, or build edgecut-runtime with its feature `coded`"
    )]
    Coded,
    /// Steps that need the graph's interpreter, which this program was built without.
    #[error(
        "{nodes} run in the interpreter, which this program was built without: build \
         edgecut-runtime with its feature `compile`"
    )]
    Interpreter {
        /// The nodes, by name.
        nodes: String,
    },
}
