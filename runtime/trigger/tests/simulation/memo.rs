//! Reads a memo as its format is written down, not as the crate does.
use log_contract::{Memo, Offset, Timestamp};

#[derive(Clone, Debug, Default)]
pub struct Noted {
    pub circuit_tries: u32,
    pub lost: u64,
    pub aged_from: Timestamp,
    /// Head, failures, whether it is final.
    pub failing: Vec<(Offset, u32, bool)>,
}

pub fn read(memo: &Memo) -> Noted {
    assert!(memo.0.len() <= Memo::LEN_MAX, "a memo is small");
    let mut bytes = memo.0.iter().copied();
    let Some(version) = bytes.next() else { return Noted::default() };
    assert_eq!(version, 1);
    bytes.next().expect("flags");
    let mut number = || {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let byte = bytes.next()?;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
    };
    let mut noted = Noted {
        circuit_tries: number().expect("tries") as u32,
        lost: number().map(|_unclean| ()).and_then(|()| number()).expect("unclean and lost"),
        aged_from: Timestamp(number().expect("aged from")),
        failing: Vec::new(),
    };
    let mut head = 0;
    while let Some(step) = number() {
        head += step;
        let failures = number().expect("failures") as u32;
        number().expect("since");
        let is_final = number().expect("flags") == 1;
        noted.failing.push((Offset(head), failures, is_final));
    }
    noted
}
