//! Sends records: orders as they are made, a person's lines as they are read. Never looks at what
//! becomes of them.
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::value::RawValue;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    client::{Body, Client},
    lines::{LineBatch, LineLimits, Lines, TooLong},
    orders::{Orders, Sent},
    pipelines::{ENRICH, LOG_LINES},
};

/// Orders of one append: enough that the sync does not count, few enough to watch them come in.
const ORDERS_MAX: u64 = 500;
/// With a rate, how long it waits where no order is due.
const PACE: Duration = Duration::from_millis(20);
/// Batches of lines that are read ahead.
const READ_AHEAD: usize = 2;

/// What the log and the server take of lines.
pub(super) const LINE_LIMITS: LineLimits = LineLimits {
    records_max: 5_000,
    bytes_max: 1 << 20,
    line_max: log_contract::LogLimits::OURS.record_bytes_max,
};

/// Sends `count` orders, as fast as they are taken or so many a second.
pub(super) async fn orders(
    client: &mut Client,
    mut orders: Orders,
    count: u64,
    rate: Option<u64>,
) -> Result<()> {
    let began = Instant::now();
    let mut sent = 0;
    while sent < count {
        let mut now = ORDERS_MAX.min(count - sent);
        if let Some(rate) = rate {
            let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
            now = now.min(due.saturating_sub(sent));
            if now == 0 {
                sleep(PACE).await;
                continue;
            }
        }
        let mut body = String::new();
        for order in orders.by_ref().take(now as usize) {
            body.push_str(&envelope(&order)?);
            body.push('\n');
        }
        append(client, ENRICH.source, "?envelope=true", Body::ndjson(body), now).await?;
        sent += now;
    }
    Ok(())
}

/// One record a line, as `?envelope=true` takes it. What is no JSON travels as text.
fn envelope(order: &Sent) -> Result<String> {
    #[derive(serde::Serialize)]
    struct Record<'a> {
        key: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        value_text: Option<&'a str>,
    }
    let is_json = order.flaw.is_none_or(super::orders::Flaw::is_json);
    let record = Record {
        key: &order.key,
        value: if is_json { Some(serde_json::from_str(&order.value)?) } else { None },
        value_text: (!is_json).then_some(&order.value),
    };
    Ok(serde_json::to_string(&record)?)
}

/// Sends each line of `input`; gives those that were too long for a record. Each is told at once.
pub(super) async fn lines(
    client: &mut Client,
    input: &Path,
    mut tell: impl FnMut(TooLong),
) -> Result<u64> {
    let mut batches = read(input)?;
    let mut left_out = 0;
    while let Some(batch) = batches.recv().await {
        let batch = batch.with_context(|| format!("read `{}`", input.display()))?;
        for line in batch.too_long {
            left_out += 1;
            tell(line);
        }
        if batch.records > 0 {
            append(client, LOG_LINES.source, "", Body::lines(batch.body), batch.records).await?;
        }
    }
    Ok(left_out)
}

/// Whether there is something to read. It is opened once, later: a named pipe would not take it twice.
pub(super) fn check(input: &Path) -> Result<()> {
    if input == Path::new("-") {
        return Ok(());
    }
    let found = std::fs::metadata(input);
    if found.with_context(|| format!("read `{}`", input.display()))?.is_dir() {
        bail!("`{}` is a directory: give a file, or `-` for standard input", input.display());
    }
    Ok(())
}

/// Reads a file, or standard input for `-`, on a thread of its own: a pipe that says nothing must not hold
/// up the program's end. The thread ends with its input or when nobody listens any more.
fn read(input: &Path) -> Result<mpsc::Receiver<io::Result<LineBatch>>> {
    let (send, receive) = mpsc::channel(READ_AHEAD);
    let input = input.to_owned();
    std::thread::Builder::new().name("demo-input".into()).spawn(move || {
        let from: io::Result<Box<dyn Read>> = if input == Path::new("-") {
            Ok(Box::new(io::stdin()))
        } else {
            File::open(input).map(|file| Box::new(file) as Box<dyn Read>)
        };
        let mut lines = match from {
            Ok(from) => Lines::new(from, LINE_LIMITS),
            Err(error) => {
                // Nobody listens only where the program ends anyway.
                send.blocking_send(Err(error)).ok();
                return;
            }
        };
        while let Some(batch) = lines.next_batch().transpose() {
            let is_last = batch.is_err();
            if send.blocking_send(batch).is_err() || is_last {
                break;
            }
        }
    })?;
    Ok(receive)
}

async fn append(
    client: &mut Client,
    topic: &str,
    query: &str,
    body: Body,
    records: u64,
) -> Result<()> {
    let answer = client.post(&format!("/v1/topics/{topic}/records{query}"), body).await?;
    if answer["records"].as_u64() != Some(records) {
        bail!("{records} records were sent to `{topic}` and {} were taken", answer["records"]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_travels_as_it_is_whether_it_is_json_or_not() {
        for order in Orders::new(3, 1_795_529_721_000).take(2_000) {
            let line = envelope(&order).unwrap();
            let record: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(record["key"], order.key);
            match record["value_text"].as_str() {
                Some(text) => assert_eq!(text, order.value),
                None => assert!(line.contains(&format!("\"value\":{}", order.value)), "{line}"),
            }
        }
    }
}
