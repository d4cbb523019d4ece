//! The bytes of `grpc.health.v1`: a message with one text, and one with one enumeration.
//!
//! Written by hand, because a code generator and its runtime would be a hundred times the size of these
//! two messages. Encoding: length-prefixed messages of gRPC over HTTP/2, and protocol buffers'
//! wire types, of which unknown fields are skipped.

/// `HealthCheckResponse.ServingStatus.SERVING`.
pub(super) const SERVING: u64 = 1;

/// A message that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// `HealthCheckRequest { service }`, framed. An empty service is the default and takes no bytes.
pub(super) fn encode_request(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 3);
    if !service.is_empty() {
        message.push(0x0a);
        put_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut framed = vec![0];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.append(&mut message);
    framed
}

/// The status of a framed `HealthCheckResponse`; 0, unknown, when it gives none.
pub(super) fn decode_response(framed: &[u8]) -> Result<u64, Malformed> {
    let (prefix, mut rest) = framed.split_first_chunk::<5>().ok_or(Malformed)?;
    let [compressed, a, b, c, d] = *prefix;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    // We name no compression, so a server must not use one; and the answer is one message.
    if compressed != 0 || rest.len() != length {
        return Err(Malformed);
    }
    let mut status = 0;
    while !rest.is_empty() {
        let tag = take_varint(&mut rest)?;
        match (tag >> 3, tag & 7) {
            (0, _) => return Err(Malformed),
            (1, 0) => status = take_varint(&mut rest)?,
            (_, 0) => {
                take_varint(&mut rest)?;
            }
            (_, 1) => skip(&mut rest, 8)?,
            (_, 2) => {
                let length = take_varint(&mut rest)?;
                skip(&mut rest, usize::try_from(length).unwrap_or(usize::MAX))?;
            }
            (_, 5) => skip(&mut rest, 4)?,
            _ => return Err(Malformed),
        }
    }
    Ok(status)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or(Malformed)?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

fn skip(rest: &mut &[u8], length: usize) -> Result<(), Malformed> {
    *rest = rest.get(length..).ok_or(Malformed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_framed_and_empty_service_takes_no_bytes() {
        assert_eq!(encode_request(""), [0, 0, 0, 0, 0]);
        assert_eq!(encode_request("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = encode_request(&"x".repeat(300));
        assert_eq!(
            long.get(5..8),
            Some(&[0x0a, 0xac, 0x02][..]),
            "300 takes two bytes"
        );
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let message = [0x10, 0x96, 0x01, 0x08, 1, 0x1a, 2, 9, 9, 0x25, 1, 2, 3, 4];
        let mut framed = vec![0, 0, 0, 0, message.len() as u8];
        framed.extend_from_slice(&message);
        assert_eq!(decode_response(&framed), Ok(SERVING));
        assert_eq!(decode_response(&[0; 5]), Ok(0));
    }

    #[test]
    fn hostile_bytes_are_malformed_and_never_a_panic() {
        for bad in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 9, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 8, 0x80],
            &[0, 0, 0, 0, 3, 0x12, 0x7f, 0],
            &[0, 0, 0, 0, 2, 0x0b, 0],
            &[0, 0xff, 0xff, 0xff, 0xff, 8, 1],
            &[
                0, 0, 0, 0, 12, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
            ],
        ] {
            assert_eq!(decode_response(bad), Err(Malformed), "{bad:?}");
        }
        let mut seed = 1u64;
        for length in 0..2000usize {
            let noise: Vec<u8> = (0..length % 40)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (seed >> 56) as u8
                })
                .collect();
            let mut framed = vec![0, 0, 0, 0, noise.len() as u8];
            framed.extend_from_slice(&noise);
            let _ = decode_response(&framed);
        }
    }
}
