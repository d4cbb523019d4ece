//! Why a request head is refused.
//!
//! Each fault has a status, a stable label for the metric and a reason for the body. After any of
//! them the connection must be closed: its bytes can't be trusted to be in step any more.

/// A table of faults: one line gives variant, status, label and reason.
macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident: $status:literal, $label:literal, $reason:literal;)+) => {
        /// Why a request head is refused. The reason never repeats bytes of the request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum HeadFault {
            $($(#[$doc])* #[doc = concat!("Status ", $status, ": ", $reason, ".")] $name,)+
        }

        impl HeadFault {
            /// All faults.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The status that answers it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// A label of `[a-z0-9_]` for metrics and logs; it never changes.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            /// A short reason for the body of the answer.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)+ }
            }
        }
    };
}

faults! {
    Incomplete: 400, "incomplete_head", "the head does not end with an empty line";
    LineEnd: 400, "line_end", "a line ends with a bare CR or LF";
    EmptyLine: 400, "empty_line", "an empty line stands where none may be";
    Control: 400, "control_byte", "the head holds a control character";
    RequestLine: 400, "request_line", "the first line is not METHOD TARGET VERSION with single spaces";
    MethodToken: 400, "method_token", "the method is not a token";
    Method: 405, "method", "CONNECT and TRACE are not served";
    Target: 400, "target", "the target holds a byte that must be percent-encoded, or a fragment";
    TargetForm: 400, "target_form", "the target is neither a path nor an http URL nor * with OPTIONS";
    TargetLength: 414, "target_length", "the target is too long";
    Version: 505, "version", "only HTTP/1.1 and HTTP/1.0 are spoken here";
    HeadSize: 431, "head_size", "the head is too large";
    FieldCount: 431, "field_count", "the head has too many fields";
    Folding: 400, "folded_field", "a field is folded over lines";
    FieldName: 400, "field_name", "the name of a field is not a token, or a space stands before its colon";
    UnderscoreName: 400, "underscore_name", "a framing field is spelt with an underscore";
    HostMissing: 400, "host_missing", "the Host field is missing";
    HostRepeated: 400, "host_repeated", "there is more than one Host field";
    HostInvalid: 400, "host_invalid", "the Host is not a host with an optional port";
    HostMismatch: 400, "host_mismatch", "the Host differs from the host of the target";
    LengthInvalid: 400, "length_invalid", "the Content-Length is not a single decimal number";
    LengthRepeated: 400, "length_repeated", "there is more than one Content-Length field";
    CodingInvalid: 400, "coding_invalid", "the last Transfer-Encoding is not chunked";
    CodingRepeated: 400, "coding_repeated", "there is more than one Transfer-Encoding field, or chunked occurs twice";
    CodingUnsupported: 501, "coding_unsupported", "the only Transfer-Encoding understood is chunked";
    CodingWithLength: 400, "coding_with_length", "Transfer-Encoding and Content-Length exclude each other";
    CodingOnHttp10: 400, "coding_on_http10", "HTTP/1.0 has no Transfer-Encoding";
    ConnectionOption: 400, "connection_option", "the Connection field names a field that frames or routes the message";
    ConnectionSpecific: 400, "connection_specific", "a field of HTTP/1 connections was sent over HTTP/2";
    TrailerPreference: 400, "te_value", "over HTTP/2, TE may only be trailers";
    Expectation: 417, "expectation", "the only expectation met is 100-continue";
    UpgradeWithBody: 400, "upgrade_with_body", "a websocket handshake has no body";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_are_unique_and_safe() {
        let labels: HashSet<_> = HeadFault::ALL.iter().map(|f| f.label()).collect();
        assert_eq!(labels.len(), HeadFault::ALL.len());
        for fault in HeadFault::ALL {
            assert!(
                fault
                    .label()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            assert!((400..=505).contains(&fault.status()));
        }
    }
}
