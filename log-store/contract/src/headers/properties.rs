//! Headers against a plain list.
use super::*;
use proptest::{collection::vec, prelude::*};

proptest! {
    #[test]
    fn headers_come_back_as_they_were_pushed(
        list in vec((".{0,6}", vec(any::<u8>(), 0..9)), 0..8),
    ) {
        let mut buf = HeadersBuf::default();
        list.iter().for_each(|(name, value)| buf.push(name, value));
        let encoded = buf.as_headers().encoded();
        let headers = Headers::parse(encoded).expect("it is well-formed");
        let pushed = list.iter().map(|(name, value)| (&**name, &**value));
        prop_assert!(headers.into_iter().eq(pushed));
        for (name, _) in &list {
            let first = list.iter().find(|(other, _)| other == name).map(|(_, value)| &value[..]);
            prop_assert_eq!(headers.get(name), first);
        }
        let mut twice = HeadersBuf::default();
        twice.extend(headers);
        twice.extend(headers);
        prop_assert_eq!(twice.as_headers().into_iter().count(), 2 * list.len());
    }

    /// Whatever bytes come: refused, or all of them are read.
    #[test]
    fn any_bytes_are_refused_or_read_to_the_end(
        bytes in vec(prop_oneof![0..3_u8, any::<u8>()], 0..60),
    ) {
        if let Some(headers) = Headers::parse(&bytes) {
            let mut again = HeadersBuf::default();
            headers.into_iter().for_each(|(name, value)| again.push(name, value));
            prop_assert_eq!(again.as_headers().encoded(), &bytes[..]);
        }
    }
}
