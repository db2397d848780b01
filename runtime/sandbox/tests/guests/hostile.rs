//! Components that no compiler would make: answers that lie about addresses, lengths and tags, allocators
//! that lie, more memories than there may be. The guest fails with a reason; the host never does.
use crate::support::{call, call_of, failed, function_on, handled, own_sandbox, shared, values};
use bytes::Bytes;
use log_contract::{BatchBuilder, Headers, Timestamp};
use sandbox::{AdmitError, Invoked};
use std::time::{Duration, Instant};
use trigger::FailureKind;
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// Where `handle` answers: tag, padding, outputs, failed records. What it points to lies behind.
const ANSWER: usize = 1024;
const ROWS: usize = 2048;
const BYTES: usize = 8192;

/// A component of the world around a core module whose `handle` is this code, over these data.
fn forge_in(
    encoding: StringEncoding,
    parts: &str,
    handle: &str,
    data: &[(usize, Vec<u8>)],
) -> Bytes {
    let segment = |(at, bytes): &(usize, Vec<u8>)| {
        let text: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!("(data (i32.const {at}) \"{text}\")")
    };
    let segments: String = data.iter().map(segment).collect();
    let params = "i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i32 i32 i32 i32";
    let module = format!(
        "(module {parts} {segments}
            (func (export \"millstream:function/handler@0.1.0#handle\") (param {params}) (result i32)
                {handle}))"
    );
    let mut module = wat::parse_str(module).expect("a module");
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");
    let (package, _) = resolve.push_path(wit).expect("the world");
    let world = resolve.select_world(&[package], Some("function")).expect("the world");
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding)
        .expect("embedded");
    let mut encoder = ComponentEncoder::default().module(&module).expect("a module of the world");
    encoder.encode().expect("a component").into()
}

const MEMORY: &str = r#"(memory (export "memory") 4)"#;
/// Never frees, and gives nothing its alignment as an address.
const ALLOCATOR: &str = r#"
    (global $next (mut i32) (i32.const 65536))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (if (i32.eqz (local.get 3)) (then (return (local.get 2))))
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at))"#;

/// A guest that answers `ok` with these outputs and failed records.
fn answering(outputs: [u32; 2], failed: [u32; 2], data: &[(usize, Vec<u8>)]) -> Bytes {
    let mut data = data.to_vec();
    data.push((ANSWER, words(&[0, 0, outputs[0], outputs[1], failed[0], failed[1]])));
    let code = format!("i32.const {ANSWER}");
    forge_in(StringEncoding::UTF8, &format!("{MEMORY}{ALLOCATOR}"), &code, &data)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// One row of outputs: source, topic, key, value, headers.
struct Row {
    source: [u32; 2],
    topic: [u32; 3],
    key: [u32; 3],
    value: [u32; 3],
    headers: [u32; 2],
}

const PLAIN: Row =
    Row { source: [0; 2], topic: [0; 3], key: [0; 3], value: [0; 3], headers: [4, 0] };

impl Row {
    fn encode(&self) -> Vec<u8> {
        let Self { source, topic, key, value, headers } = self;
        words(&[&source[..], topic, key, value, headers].concat())
    }
}

fn with_rows(rows: &[Row], data: &[(usize, Vec<u8>)]) -> Bytes {
    let mut data = data.to_vec();
    data.push((ROWS, rows.iter().flat_map(Row::encode).collect()));
    answering([ROWS as u32, rows.len() as u32], [4, 0], &data)
}

async fn answer(component: Bytes) -> Invoked {
    let function = function_on(shared(), component).await;
    shared().invoke(&function, call(&["a", "b"])).await
}

async fn breaks(component: Bytes, kind: FailureKind, words: &str) {
    let (found, reason) = failed(answer(component).await);
    assert_eq!(found, kind, "{reason}");
    assert!(reason.contains(words), "`{reason}` does not say `{words}`");
}

#[tokio::test]
async fn an_honest_answer_of_this_make_is_taken() {
    let row =
        Row { source: [1, 1], key: [1, BYTES as u32, 1], value: [1, BYTES as u32, 4], ..PLAIN };
    let honest = with_rows(&[row, PLAIN], &[(BYTES, b"word".to_vec())]);
    let response = handled(answer(honest).await);
    assert_eq!(values(&response), ["word", ""]);
    assert_eq!(response.sources, [Some(1), None]);
    assert_eq!(response.outputs.record(0).key, Some(&b"w"[..]));
    assert_eq!(response.outputs.record(1).value, None);
}

#[tokio::test]
async fn addresses_lengths_and_tags_that_lie_are_traps() {
    use FailureKind::Trapped;
    let far = [1, 0xffff_fff0, 0x20];
    let lies = [
        (answering([0xffff_ff00, 8], [4, 0], &[]), "out of bounds"),
        (answering([ROWS as u32, 1 << 14], [4, 0], &[]), "out of bounds"),
        (answering([ROWS as u32 + 1, 1], [4, 0], &[]), "not aligned"),
        (answering([4, 0], [0xffff_fffc, 1], &[]), "out of bounds"),
        (with_rows(&[Row { value: far, ..PLAIN }], &[]), "out of bounds"),
        (with_rows(&[Row { key: far, ..PLAIN }], &[]), "out of bounds"),
        (with_rows(&[Row { topic: far, ..PLAIN }], &[]), "out of bounds"),
        (with_rows(&[Row { headers: [0xffff_fffc, 1], ..PLAIN }], &[]), "out of bounds"),
        (with_rows(&[Row { headers: [BYTES as u32 + 1, 1], ..PLAIN }], &[]), "not aligned"),
        (with_rows(&[Row { source: [2, 0], ..PLAIN }], &[]), "discriminant"),
        (with_rows(&[Row { value: [3, 0, 0], ..PLAIN }], &[]), "discriminant"),
        (
            with_rows(&[Row { topic: [1, BYTES as u32, 1], ..PLAIN }], &[(BYTES, vec![0xff])]),
            "utf-8",
        ),
        (
            with_rows(
                &[Row { headers: [BYTES as u32, 1], ..PLAIN }],
                &[(BYTES, words(&[BYTES as u32 + 16, 1, 0, 0])), (BYTES + 16, vec![0xc0])],
            ),
            "utf-8",
        ),
    ];
    for (component, words) in lies {
        breaks(component, Trapped, words).await;
    }
    let code = format!("i32.const {}", ANSWER + 4);
    let parts = format!("{MEMORY}{ALLOCATOR}");
    breaks(forge_in(StringEncoding::UTF8, &parts, &code, &[]), Trapped, "not aligned").await;
    breaks(forge_in(StringEncoding::UTF8, &parts, "i32.const -8", &[]), Trapped, "out of bounds")
        .await;
    let tag = [(ANSWER, words(&[9, 0, 0, 0, 0, 0]))];
    let code = format!("i32.const {ANSWER}");
    breaks(forge_in(StringEncoding::UTF8, &parts, &code, &tag), Trapped, "discriminant").await;
}

#[tokio::test]
async fn indices_outside_the_span_break_a_bound() {
    let row = Row { source: [1, 2], ..PLAIN };
    let words_of_source = "output 0 names record 2 as its source, but the batch has 2 records";
    breaks(with_rows(&[row], &[]), FailureKind::BoundBroken, words_of_source).await;
    let item = |index| words(&[index, 0, BYTES as u32, 0]);
    let outside = answering([4, 0], [ROWS as u32, 1], &[(ROWS, item(7))]);
    breaks(outside, FailureKind::BoundBroken, "failed record 7 is not in the batch").await;
    let many = answering([4, 0], [ROWS as u32, 3], &[(ROWS, [item(0), item(1), item(1)].concat())]);
    breaks(many, FailureKind::BoundBroken, "more failed records than the 2").await;
}

#[tokio::test]
async fn one_block_named_many_times_is_paid_each_time() {
    let started = Instant::now();
    let whole = [1, 0, 4 << 16];
    let rows: Vec<_> = (0..1_000).map(|_| Row { value: whole, ..PLAIN }).collect();
    let component = with_rows(&rows, &[]);
    breaks(component, FailureKind::BoundBroken, "larger than 16777216 bytes").await;
    // Each of 1,000 rows names the same ten headers, each with the same long value.
    let header = words(&[4, 0, 0, 200_000]);
    let headers = [ROWS as u32 + 52_000, 10];
    let rows: Vec<_> = (0..1_000).map(|_| Row { headers, ..PLAIN }).collect();
    let component = with_rows(&rows, &[(ROWS + 52_000, header.repeat(10))]);
    breaks(component, FailureKind::BoundBroken, "larger than 16777216 bytes").await;
    // Where nothing was written: zeros are texts.
    let reasons = words(&[0, 0, 2 << 16, 2 << 16]).repeat(500);
    let component = answering([4, 0], [ROWS as u32, 500], &[(ROWS, reasons)]);
    breaks(component, FailureKind::BoundBroken, "larger than 16777216 bytes").await;
    assert!(started.elapsed() < Duration::from_secs(20), "took {:?}", started.elapsed());
}

#[tokio::test]
async fn an_allocator_that_lies_harms_its_guest_alone() {
    let code = format!("i32.const {ANSWER}");
    let allocators = [
        ("i32.const -8", "beyond end of memory"),
        ("i32.const 3", "not aligned"),
        ("unreachable", "unreachable"),
    ];
    for (body, words) in allocators {
        let parts = format!(
            "{MEMORY}(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) {body})"
        );
        let component = forge_in(StringEncoding::UTF8, &parts, &code, &[]);
        breaks(component, FailureKind::Trapped, words).await;
    }
    // Gives the same block for all: it reads nonsense, and that is all.
    let parts = format!(
        "{MEMORY}(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) i32.const 65536)"
    );
    let honest = [(ANSWER, words(&[0, 0, 4, 0, 4, 0]))];
    let component = forge_in(StringEncoding::UTF8, &parts, &code, &honest);
    assert!(handled(answer(component).await).outputs.is_empty());
}

#[tokio::test]
async fn empty_lists_of_an_allocator_that_gives_blocks_for_them_are_blocks() {
    // Counts its calls in the first word of the answer's first output: 3 records without headers, key or
    // value of any length, each list asked for.
    let parts = r#"
        (memory (export "memory") 4)
        (global $next (mut i32) (i32.const 65536))
        (global $empty (mut i32) (i32.const 0))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (if (i32.eqz (local.get 3))
                (then (global.set $empty (i32.add (global.get $empty) (i32.const 1)))))
            (global.set $next (i32.add (global.get $next) (i32.const 4096)))
            (global.get $next))"#;
    let code = format!("(i32.store (i32.const {BYTES}) (global.get $empty)) i32.const {ANSWER}");
    let row = Row { value: [1, BYTES as u32, 4], ..PLAIN };
    let data = [(ANSWER, words(&[0, 0, ROWS as u32, 1, 4, 0])), (ROWS, row.encode())];
    let component = forge_in(StringEncoding::UTF8, parts, &code, &data);
    let function = function_on(shared(), component).await;
    let mut batch = BatchBuilder::default();
    for _ in 0..3 {
        batch.push_new(Timestamp(1), Some(b""), Some(b""), Headers::NONE);
    }
    let response = handled(shared().invoke(&function, call_of(batch.build().into())).await);
    assert_eq!(response.outputs.record(0).value, Some(&words(&[9])[..]), "three for each record");
}

#[tokio::test]
async fn a_guest_with_utf16_texts_is_understood() {
    let code = format!("i32.const {ANSWER}");
    let name: Vec<u8> = "side".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let row = Row { topic: [1, BYTES as u32, 4], ..PLAIN };
    let data =
        [(ANSWER, words(&[0, 0, ROWS as u32, 1, 4, 0])), (ROWS, row.encode()), (BYTES, name)];
    let parts = format!("{MEMORY}{ALLOCATOR}");
    let component = forge_in(StringEncoding::UTF16, &parts, &code, &data);
    let response = handled(answer(component).await);
    assert_eq!(response.targets, trigger::Targets::All(crate::support::SIDE));
}

#[tokio::test]
async fn a_component_that_needs_too_much_is_refused_at_upload() {
    let code = format!("i32.const {ANSWER}");
    let large = format!(r#"(memory (export "memory") 2048){ALLOCATOR}"#);
    let large = forge_in(StringEncoding::UTF8, &large, &code, &[]);
    let tables = format!("{MEMORY}{ALLOCATOR}(table 70000 funcref)");
    let used = format!("(drop (table.size 0)) {code}");
    let tables = forge_in(StringEncoding::UTF8, &tables, &used, &[]);
    for (component, words) in [(large, "memory"), (tables, "table")] {
        let refused = shared().admit(component.clone()).await.expect_err("refused");
        assert!(matches!(refused, AdmitError::ExceedsPool { .. }), "{refused:?}");
        assert!(refused.to_string().contains(words), "{refused}");
        let (unpooled, _dir) = own_sandbox(|config| config.slots = 1_000_000);
        let refused = unpooled.admit(component).await.expect_err("refused");
        assert!(matches!(refused, AdmitError::ExceedsPool { .. }), "{refused:?}");
    }
}
