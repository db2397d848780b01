//! The verifier's books: what was sent, what was acknowledged where, and what can be read back. It
//! knows nothing but what came over HTTP.
use crate::Client;
use anyhow::Result;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub partition: u64,
    pub offset: u64,
}

/// A record that was read back.
#[derive(Clone, Debug)]
pub struct Read {
    pub place: Place,
    pub key: Option<String>,
    pub value: Value,
    pub headers: BTreeMap<String, String>,
}

/// What was sent to one topic: numbered records, each with its line and its acknowledged place.
#[derive(Clone, Debug, Default)]
pub struct Books {
    pub lines: BTreeMap<u64, String>,
    pub places: BTreeMap<u64, Place>,
}

impl Books {
    /// Appends numbered lines in one request and writes down where they went. False: no answer came,
    /// and nobody knows.
    pub async fn append(
        &mut self,
        client: &Client,
        topic: &str,
        key: &str,
        lines: &[(u64, String)],
    ) -> bool {
        let path = format!("/v1/topics/{topic}/records?key={key}");
        let body: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
        let headers = [("content-type", "application/x-ndjson")];
        let Ok(answer) = client.try_send("POST", &path, &headers, body).await else { return false };
        if answer.status == 503 {
            return false;
        }
        let answer = answer.expect(201).json();
        let appended = answer["appended"].as_array().expect("places");
        let mut places = Vec::new();
        for run in appended {
            let (partition, offset) = (number(&run["partition"]), number(&run["offset"]));
            let records = run.get("records").map_or(1, number);
            places.extend((0..records).map(|nth| Place { partition, offset: offset + nth }));
        }
        assert_eq!(places.len(), lines.len(), "a place for each record");
        for ((id, line), place) in lines.iter().zip(places) {
            self.note(*id, line, place);
        }
        true
    }

    /// Looks up, by reading, a request whose answer never came: whole or absent. True: it is there.
    ///
    /// # Errors
    /// The server went away meanwhile: ask again.
    pub async fn look_up(
        &mut self,
        client: &Client,
        topic: &str,
        lines: &[(u64, String)],
    ) -> Result<bool> {
        let wanted: BTreeMap<u64, &String> = lines.iter().map(|(id, line)| (*id, line)).collect();
        let mut from = BTreeMap::new();
        for place in self.places.values() {
            let after = from.entry(place.partition).or_insert(0);
            *after = place.offset.max(*after);
        }
        let found = try_read(client, topic, &from).await?;
        let found: Vec<_> =
            found.into_iter().filter(|read| wanted.contains_key(&id_of(&read.value))).collect();
        if found.is_empty() {
            return Ok(false);
        }
        assert_eq!(found.len(), lines.len(), "an append is whole or absent");
        for read in found {
            let id = id_of(&read.value);
            self.note(id, wanted[&id], read.place);
        }
        Ok(true)
    }

    fn note(&mut self, id: u64, line: &str, place: Place) {
        self.lines.insert(id, line.to_owned());
        let before = self.places.insert(id, place);
        assert!(before.is_none_or(|before| before == place), "record {id} moved or came twice");
    }

    /// Each id once, in any order. Panics with what is missing or doubled.
    pub fn check_once(what: &str, expected: &BTreeSet<u64>, found: impl Iterator<Item = u64>) {
        let mut seen = BTreeSet::new();
        for id in found {
            assert!(seen.insert(id), "{what}: {id} is there twice");
            assert!(expected.contains(&id), "{what}: nobody expects {id}");
        }
        let missing: Vec<_> = expected.difference(&seen).take(5).collect();
        let left = expected.len() - seen.len();
        assert!(missing.is_empty(), "{what}: {left} are missing, {missing:?} among them");
    }
}

/// All records of a topic, partition by partition, in offset order.
pub async fn read_all(client: &Client, topic: &str) -> Vec<Read> {
    try_read(client, topic, &BTreeMap::new()).await.expect("the server answers")
}

/// What lies in each partition from the given offset on, or from its start.
async fn try_read(client: &Client, topic: &str, from: &BTreeMap<u64, u64>) -> Result<Vec<Read>> {
    let shown = client.try_send("GET", &format!("/v1/topics/{topic}"), &[], "").await?;
    let shown = shown.expect(200).json();
    let mut reads = Vec::new();
    for bounds in shown["bounds"].as_array().expect("bounds") {
        let (partition, end) = (number(&bounds["partition"]), number(&bounds["end"]));
        let start = number(&bounds["start"]);
        let mut next = from.get(&partition).map_or(start, |from| *from.max(&start));
        while next < end {
            let path =
                format!("/v1/topics/{topic}/records?partition={partition}&from={next}&limit=10000");
            let headers = [("accept", "application/x-ndjson")];
            let answer = client.try_send("GET", &path, &headers, "").await?.expect(200);
            reads.extend(answer.text().lines().map(read_of));
            let token = answer.header("millstream-next").expect("where to go on");
            let (_, after) = token.rsplit_once(':').expect("partition:offset");
            let after: u64 = after.parse().expect("an offset");
            assert!(after > next, "reading goes on");
            next = after;
        }
    }
    Ok(reads)
}

fn read_of(line: &str) -> Read {
    let line: Value = serde_json::from_str(line).expect("a record is JSON");
    let place = Place { partition: number(&line["partition"]), offset: number(&line["offset"]) };
    let headers = line["headers"].as_object().into_iter().flatten();
    let headers = headers.map(|(name, value)| {
        (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    });
    let value = line.get("value").or(line.get("value_text")).cloned().unwrap_or(Value::Null);
    Read { place, key: line["key"].as_str().map(str::to_owned), value, headers: headers.collect() }
}

/// The number that the verifier gave to a record.
#[must_use]
pub fn id_of(value: &Value) -> u64 {
    value["id"].as_u64().unwrap_or(u64::MAX)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}
