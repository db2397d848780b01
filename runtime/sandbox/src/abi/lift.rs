//! A guest's answer gathered straight from its memory into one buffer and an index. Every address, length
//! and tag is the guest's word and checked; what it costs is bounded by the engine's budget for copies,
//! taken before anything is read or allocated.
use super::lower::{HEADER_ALIGN, HEADER_ROW, HeaderShape};
use crate::call::Limits;
use log_contract::{Entry, Offset, Timestamp};
use std::{borrow::Cow, collections::HashMap};
use wasmtime::{
    ValRaw, bail,
    component::{
        __internal::{
            CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext,
            wasmtime_environ::component::StringEncoding,
        },
        ComponentType, Lift,
    },
};

/// `result<response, failure>`.
pub(crate) type AnswerOut = Result<ResponseOut, FailureOut>;

/// `types.response`.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct ResponseOut {
    pub(crate) outputs: Gathered,
    pub(crate) failed: Vec<FailedRecordOut>,
}

/// `types.failed-record`.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct FailedRecordOut {
    pub(crate) index: u32,
    pub(crate) blame: BlameOut,
    pub(crate) reason: String,
}

/// `types.blame`.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the engine makes it from its number")]
pub(crate) enum BlameOut {
    #[component(name = "rejected")]
    Rejected,
    #[component(name = "permanent")]
    Permanent,
}

/// `types.failure`.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum FailureOut {
    #[component(name = "rejected")]
    Rejected(String),
    #[component(name = "permanent")]
    Permanent(String),
    #[component(name = "unavailable")]
    Unavailable(OutageOut),
}

/// `types.outage`.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct OutageOut {
    pub(crate) reason: String,
    #[component(name = "retry-after-ms")]
    pub(crate) retry_after_ms: Option<u64>,
}

/// `list<types.output>`, gathered.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) index: Vec<Entry>,
    pub(crate) bytes: Vec<u8>,
    /// For each output.
    pub(crate) sources: Vec<Option<u32>>,
    /// The topics that outputs name, each once.
    pub(crate) names: Vec<String>,
    /// For each output the place of its topic in `names`, or [`Gathered::DEFAULT`]. Empty if none names one.
    pub(crate) topics: Vec<u32>,
}

/// What [`Gathered`] reads by hand, for the check of types and sizes.
#[derive(ComponentType)]
#[component(record)]
#[expect(dead_code, reason = "stands for a type of the component model")]
struct OutputShape {
    source: Option<u32>,
    topic: Option<String>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<HeaderShape>,
}

const ROW: usize = 52;
const ROW_ALIGN: u32 = 4;
const _: () = assert!(OutputShape::SIZE32 == ROW && OutputShape::ALIGN32 == ROW_ALIGN);

/// What a batch spends for a header beside its bytes: the lengths of name and value.
const HEADER_LENGTHS: usize = 8;
/// What an output may cost beside its bytes: its row, a topic's name, rows of some headers.
const OVERHEAD: usize = ROW + 256 + 8 * HEADER_ROW;
/// Room for the reasons of failed records, beyond the outputs.
const REASONS_BYTES: usize = 1 << 20;

/// The engine's budget for one answer: with it no guest makes the host copy much more than its limits say.
/// The exact limits are checked on what was gathered.
pub(crate) fn fuel(limits: &Limits) -> usize {
    let rows = limits.output_records.saturating_mul(OVERHEAD);
    limits.output_bytes.saturating_add(rows).saturating_add(REASONS_BYTES).min(1 << 31)
}

// SAFETY: a list is a pointer and a length for every element type; `typecheck` takes the list of outputs and
// nothing else.
#[expect(unsafe_code, reason = "the engine's trait for types of guests is unsafe to implement")]
unsafe impl ComponentType for Gathered {
    type Lower = [ValRaw; 2];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::POINTER_PAIR;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        <[OutputShape] as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: reads nothing but the pair that it is given and, bounds checked, the guest's memory.
#[expect(unsafe_code, reason = "the engine's trait for types of guests is unsafe to implement")]
unsafe impl Lift for Gathered {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        _: InterfaceType,
        src: &[ValRaw; 2],
    ) -> wasmtime::Result<Self> {
        gather(cx, [src[0].get_u32(), src[1].get_u32()])
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        _: InterfaceType,
        bytes: &[u8],
    ) -> wasmtime::Result<Self> {
        gather(cx, pair(bytes, 0))
    }
}

impl Gathered {
    pub(crate) const DEFAULT: u32 = u32::MAX;
}

fn gather(cx: &mut LiftContext<'_>, list: [u32; 2]) -> wasmtime::Result<Gathered> {
    let memory = cx.memory();
    cx.consume_fuel_array(list[1] as usize, ROW)?;
    let (rows, _) = list_of(memory, list, ROW, ROW_ALIGN)?.as_chunks::<ROW>();
    let bytes = measure(cx, memory, rows)?;
    let mut gathered = Gathered {
        index: Vec::with_capacity(rows.len()),
        bytes: Vec::with_capacity(bytes),
        sources: Vec::with_capacity(rows.len()),
        ..Gathered::default()
    };
    let mut topics = Topics::default();
    for row in rows {
        let start = u32::try_from(gathered.bytes.len())?;
        let key_len = take(&mut gathered.bytes, option(memory, row, 20)?)?;
        let value_len = take(&mut gathered.bytes, option(memory, row, 32)?)?;
        take_headers(cx, memory, &mut gathered.bytes, pair(row, 44))?;
        let offset = Offset(gathered.index.len() as u64);
        let (timestamp, appended_at) = (Timestamp(0), Timestamp(0));
        let entry = Entry { offset, timestamp, appended_at, start, key_len, value_len };
        gathered.index.push(entry);
        gathered.sources.push(if tag(row, 0)? { Some(word(row, 4)) } else { None });
        if tag(row, 8)? {
            let name = text(cx, memory, &row[12..20])?;
            topics.name(name, gathered.index.len());
        } else {
            topics.none();
        }
    }
    (gathered.names, gathered.topics) = (topics.names, topics.of);
    Ok(gathered)
}

/// Checks all that outputs point to and pays for it, so that the second pass copies within one allocation.
fn measure(cx: &mut LiftContext<'_>, memory: &[u8], rows: &[[u8; ROW]]) -> wasmtime::Result<usize> {
    let mut total = 0;
    for row in rows {
        let mut bytes = 0;
        for at in [20, 32] {
            bytes += option(memory, row, at)?.map_or(0, <[u8]>::len);
        }
        let topic = if tag(row, 8)? { word(row, 16) as usize } else { 0 };
        cx.consume_fuel(bytes + topic)?;
        let headers = pair(row, 44);
        if headers[1] > 0 {
            cx.consume_fuel_array(headers[1] as usize, HEADER_ROW)?;
            let (headers, _) =
                list_of(memory, headers, HEADER_ROW, HEADER_ALIGN)?.as_chunks::<HEADER_ROW>();
            for header in headers {
                let spent = word(header, 4) as usize + word(header, 12) as usize + HEADER_LENGTHS;
                // Before the next, or many rows that share one long list of headers cost their product.
                cx.consume_fuel(spent)?;
                bytes += spent;
            }
        }
        total += bytes;
    }
    Ok(total)
}

/// Appends what is there; answers its length as an index has it.
fn take(bytes: &mut Vec<u8>, part: Option<&[u8]>) -> wasmtime::Result<u32> {
    let Some(part) = part else { return Ok(Entry::ABSENT) };
    bytes.extend_from_slice(part);
    Ok(u32::try_from(part.len())?)
}

fn take_headers(
    cx: &mut LiftContext<'_>,
    memory: &[u8],
    bytes: &mut Vec<u8>,
    list: [u32; 2],
) -> wasmtime::Result<()> {
    let (headers, _) = list_of(memory, list, HEADER_ROW, HEADER_ALIGN)?.as_chunks::<HEADER_ROW>();
    for header in headers {
        let name = text(cx, memory, &header[..8])?;
        let value = list_of(memory, pair(header, 8), 1, 1)?;
        for part in [name.as_bytes(), value] {
            bytes.extend_from_slice(&u32::try_from(part.len())?.to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    Ok(())
}

/// The topics that outputs name, each once: most guests name few.
#[derive(Default)]
struct Topics<'a> {
    names: Vec<String>,
    of: Vec<u32>,
    known: HashMap<Cow<'a, str>, u32>,
    last: Option<(Cow<'a, str>, u32)>,
}

impl<'a> Topics<'a> {
    /// The output that is the `nth`, counted from 1, names this topic.
    fn name(&mut self, name: Cow<'a, str>, nth: usize) {
        self.of.resize(nth - 1, Gathered::DEFAULT);
        let place = match &self.last {
            Some((last, place)) if *last == name => *place,
            _ => {
                let next = self.names.len() as u32;
                let place = *self.known.entry(name.clone()).or_insert(next);
                if place == next {
                    self.names.push(name.clone().into_owned());
                }
                self.last = Some((name, place));
                place
            }
        };
        self.of.push(place);
    }

    fn none(&mut self) {
        if !self.of.is_empty() {
            self.of.push(Gathered::DEFAULT);
        }
    }
}

/// A text in the guest's encoding.
fn text<'a>(
    cx: &mut LiftContext<'_>,
    memory: &'a [u8],
    place: &[u8],
) -> wasmtime::Result<Cow<'a, str>> {
    if cx.options().string_encoding == StringEncoding::Utf8 {
        return Ok(std::str::from_utf8(list_of(memory, pair(place, 0), 1, 1)?)?.into());
    }
    Ok(String::linear_lift_from_memory(cx, InterfaceType::String, place)?.into())
}

/// `option<list<u8>>` at this place of a row.
fn option<'a>(memory: &'a [u8], row: &[u8], at: usize) -> wasmtime::Result<Option<&'a [u8]>> {
    if tag(row, at)? { list_of(memory, pair(row, at + 4), 1, 1).map(Some) } else { Ok(None) }
}

fn tag(row: &[u8], at: usize) -> wasmtime::Result<bool> {
    match row[at] {
        0 => Ok(false),
        1 => Ok(true),
        _ => bail!("invalid option discriminant"),
    }
}

fn list_of(memory: &[u8], [at, len]: [u32; 2], size: usize, align: u32) -> wasmtime::Result<&[u8]> {
    let bytes = (len as usize).checked_mul(size);
    let list = memory.get(at as usize..).zip(bytes).and_then(|(rest, bytes)| rest.get(..bytes));
    match list {
        Some(list) if at % align == 0 => Ok(list),
        Some(_) => bail!("list pointer is not aligned"),
        None => bail!("list pointer/length out of bounds of memory"),
    }
}

fn pair(row: &[u8], at: usize) -> [u32; 2] {
    [word(row, at), word(row, at + 4)]
}

fn word(row: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&row[at..at + 4]);
    u32::from_le_bytes(bytes)
}
