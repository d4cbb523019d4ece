//! Why a chunked body is refused.

/// A table of faults: one line gives variant, label and reason.
macro_rules! faults {
    ($($name:ident: $label:literal, $reason:literal;)+) => {
        /// Why a chunked body is refused. The reason never repeats bytes of it. The connection must be closed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
        pub enum ChunkFault {
            $(#[doc = concat!($reason, ".")] #[error($reason)] $name,)+
        }

        impl ChunkFault {
            /// All faults.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// A label of `[a-z0-9_]` for metrics and logs; it never changes.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            /// A short reason for the body of the answer and the log.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)+ }
            }
        }
    };
}

faults! {
    Size: "chunk_size", "the size of a chunk is not a hexadecimal number";
    SizeRange: "chunk_size_range", "the size of a chunk is too large or has too many digits";
    LineEnd: "chunk_line_end", "a line of the chunked framing does not end with CR LF";
    Extension: "chunk_extension", "a chunk extension is malformed";
    ExtensionSize: "chunk_extension_size", "the extensions of a chunk are too long";
    DataEnd: "chunk_data_end", "the data of a chunk is not followed by CR LF";
    Control: "chunk_control_byte", "the chunked framing holds a control character";
    TrailerName: "trailer_name", "the name of a trailer field is not a token, or a space stands before its colon";
    TrailerFolding: "trailer_folded", "a trailer field is folded over lines";
    TrailerForbidden: "trailer_forbidden", "a trailer field frames or routes the message";
    TrailerSize: "trailer_size", "the trailer fields are too long";
}
