//! Which partition a key belongs to: murmur2 as in Kafka's Java client, so that a topic keeps its order
//! when it moves between the two. Frozen: records of one key would part otherwise.
use crate::PartitionId;

/// `partitions` must not be 0. An empty key is a key.
#[must_use]
pub fn partition_of_key(key: &[u8], partitions: u32) -> PartitionId {
    assert!(partitions > 0, "a topic has a partition");
    PartitionId((murmur2(key) & 0x7fff_ffff) % partitions)
}

fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut word = u32::from_le_bytes(chunk.try_into().expect("four bytes"));
        word = word.wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measured against Kafka over 12 partitions.
    #[test]
    fn keys_lie_where_kafka_puts_them() {
        let vectors = [
            ("", 9),
            ("a", 4),
            ("ab", 2),
            ("order-1", 10),
            ("user:42", 1),
            ("ключ", 8),
            ("0123456789abcdef", 0),
        ];
        for (key, partition) in vectors {
            assert_eq!(partition_of_key(key.as_bytes(), 12), PartitionId(partition), "{key}");
        }
    }
}
