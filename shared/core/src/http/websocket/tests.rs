use super::*;
use proptest::prelude::*;

/// A frame as an endpoint would write it.
#[derive(Debug, Clone)]
struct Frame {
    opcode: u8,
    fin: bool,
    mask: Option<[u8; 4]>,
    payload: usize,
    /// Bits of the length field, when they are more than needed.
    at_least: u8,
}

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        let first = self.opcode | if self.fin { FIN } else { 0 };
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        let mut out = vec![first];
        match self.payload {
            0..=125 if self.at_least <= 7 => out.push(masked | self.payload as u8),
            0..=0xffff if self.at_least <= 16 => {
                out.push(masked | 126);
                out.extend((self.payload as u16).to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend((self.payload as u64).to_be_bytes());
            }
        }
        out.extend(self.mask.into_iter().flatten());
        // Payload that looks like close frames.
        out.extend([0x88, 0x02, 0x03, 0xe9].iter().cycle().take(self.payload));
        out
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    let sizes = prop_oneof![
        8 => 0_usize..200,
        2 => 60_000_usize..70_000,
        1 => Just(125_usize),
        1 => Just(126_usize),
        1 => Just(0xffff_usize),
        1 => Just(0x1_0000_usize),
    ];
    let opcode = prop_oneof![Just(0_u8), Just(1), Just(2), Just(9), Just(10), Just(0xf)];
    let at_least = prop_oneof![4 => Just(7_u8), 1 => Just(16), 1 => Just(64)];
    let mask = prop::option::of(any::<[u8; 4]>());
    (opcode, any::<bool>(), mask, sizes, at_least).prop_map(
        |(opcode, fin, mask, payload, at_least)| Frame {
            opcode,
            fin,
            mask,
            payload,
            at_least,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However the bytes are cut, it stands between frames exactly at the ends of frames.
    #[test]
    fn boundaries_are_found_in_any_pieces(
        frames in prop::collection::vec(frame(), 1..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for frame in &frames {
            bytes.extend(frame.bytes());
            ends.push(bytes.len());
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let (mut tracker, mut from) = (FrameTracker::new(), 0);
        for to in cuts {
            tracker.pass(&bytes[from..to]);
            prop_assert_eq!(tracker.is_between_frames(), ends.contains(&to), "at {}", to);
            // Where the next boundary is, seen from here.
            let next = *ends.iter().find(|end| **end >= to).unwrap();
            let ahead = tracker.clone().pass_to_boundary(&bytes[to..]);
            prop_assert_eq!(ahead, Some(next - to));
            prop_assert_eq!(tracker.clone().pass_to_boundary(&bytes[to..next.max(to + 1) - 1]),
                (next == to).then_some(0));
            from = to;
        }
        prop_assert!(!tracker.is_closed(), "payload that looks like a close frame is none");
    }

    #[test]
    fn a_close_frame_is_seen_when_it_is_whole(
        before in prop::collection::vec(frame(), 0..3),
        mask in prop::option::of(any::<[u8; 4]>()),
    ) {
        let mut tracker = FrameTracker::new();
        for frame in before {
            tracker.pass(&frame.bytes());
        }
        let close = close_frame(1000, mask);
        let (last, head) = close.split_last().unwrap();
        tracker.pass(head);
        prop_assert!(!tracker.is_closed() && !tracker.is_between_frames());
        tracker.pass(&[*last]);
        prop_assert!(tracker.is_closed() && tracker.is_between_frames());
    }

    /// Arbitrary bytes are taken without a fault, and the same in one piece and byte by byte.
    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (mut whole, mut drip) = (FrameTracker::new(), FrameTracker::new());
        whole.pass(&bytes);
        bytes.iter().for_each(|byte| drip.pass(&[*byte]));
        prop_assert_eq!(whole.state, drip.state);
        prop_assert_eq!(whole.is_closed(), drip.is_closed());
    }
}

#[test]
fn a_length_without_meaning_leaves_no_boundary() {
    let mut tracker = FrameTracker::new();
    tracker.pass(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    tracker.pass(&[0; 64]);
    assert!(!tracker.is_between_frames());
    assert_eq!(tracker.pass_to_boundary(&[0x88, 0]), None);
    assert!(!tracker.is_closed());
}

#[test]
fn an_empty_close_frame_closes() {
    let mut tracker = FrameTracker::new();
    tracker.pass(&[0x88, 0]);
    assert!(tracker.is_closed());
}

#[test]
fn what_is_sent_to_a_server_is_masked() {
    assert_eq!(close_frame(GOING_AWAY, None), [0x88, 2, 0x03, 0xe9]);
    let masked = close_frame(GOING_AWAY, Some([1, 2, 3, 4]));
    assert_eq!(masked, [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2]);
}
