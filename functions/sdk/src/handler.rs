//! Which shapes a handler may have, and how each is run over a batch. The attribute knows none of them; the type
//! checker picks the one that fits, by a marker that no user sees. Nothing here knows how JSON is read.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings;
use crate::{Batch, Failure, Json, Output, Outputs, Record, Reject, decode};

/// A function that can handle a batch. `Shape` is only a marker, so that all shapes can be told apart.
#[diagnostic::on_unimplemented(
    message = "this function is no handler",
    label = "see \"Shapes of a handler\" in the documentation of `millstream`",
    note = "it takes `T: serde::de::DeserializeOwned`, `T, Record<'_>`, `Record<'_>` or `&Batch, &mut Outputs`",
    note = "it answers with `()`, `Option<T>`, `Vec<T>`, `Json<T>`, `Output`, or a `Result` of one of these and `Reject` (`Failure` for batches)"
)]
pub trait Handler<Shape> {
    fn handle(&self, batch: Batch) -> Result<Outputs, Failure>;
}

/// What the component's export calls.
pub fn run<Shape>(
    handler: impl Handler<Shape>,
    batch: bindings::Batch,
) -> Result<bindings::Response, bindings::Failure> {
    match handler.handle(Batch::new(batch)) {
        Ok(outputs) => Ok(outputs.finish()),
        Err(failure) => Err(failure.into()),
    }
}

#[derive(Debug)]
pub struct Whole<A>(PhantomData<A>);

impl<F, A> Handler<Whole<A>> for F
where
    F: Fn(&Batch, &mut Outputs) -> A,
    A: BatchAnswer,
{
    fn handle(&self, batch: Batch) -> Result<Outputs, Failure> {
        let mut outputs = Outputs::with_capacity(batch.len());
        self(&batch, &mut outputs).into_result()?;
        Ok(outputs)
    }
}

#[derive(Debug)]
pub struct Raw<A, M>(PhantomData<(A, M)>);

impl<F, A, M> Handler<Raw<A, M>> for F
where
    F: Fn(Record<'_>) -> A,
    A: Answer<M>,
{
    fn handle(&self, batch: Batch) -> Result<Outputs, Failure> {
        each(batch, |record, outputs| self(record).give(outputs))
    }
}

#[derive(Debug)]
pub struct Typed<T, A, M>(PhantomData<(T, A, M)>);

impl<F, T, A, M> Handler<Typed<T, A, M>> for F
where
    F: Fn(T) -> A,
    T: DeserializeOwned,
    A: Answer<M>,
{
    fn handle(&self, batch: Batch) -> Result<Outputs, Failure> {
        each(batch, |record, outputs| {
            let value = decode::json(record.value()).map_err(Reject::Permanent)?;
            self(value).give(outputs)
        })
    }
}

#[derive(Debug)]
pub struct TypedRecord<T, A, M>(PhantomData<(T, A, M)>);

impl<F, T, A, M> Handler<TypedRecord<T, A, M>> for F
where
    F: Fn(T, Record<'_>) -> A,
    T: DeserializeOwned,
    A: Answer<M>,
{
    fn handle(&self, batch: Batch) -> Result<Outputs, Failure> {
        each(batch, |record, outputs| {
            let value = decode::json(record.value()).map_err(Reject::Permanent)?;
            self(value, record).give(outputs)
        })
    }
}

/// Record by record. A failed record costs only itself; an outage costs the batch.
fn each(
    batch: Batch,
    handle: impl Fn(Record<'_>, &mut Vec<Output>) -> Result<(), Reject>,
) -> Result<Outputs, Failure> {
    let mut all = Outputs::with_capacity(batch.len());
    let mut made = Vec::new();
    for (at, mut record) in batch.into_records().into_iter().enumerate() {
        let view = Record::new(at, &record);
        let index = view.index();
        match handle(view, &mut made) {
            Ok(()) => all.take(index, &mut record.key, &mut made),
            Err(reject) => {
                made.clear();
                all.fail_at(index, reject)?;
            }
        }
    }
    Ok(all)
}

/// What a handler of batches may answer.
pub trait BatchAnswer {
    fn into_result(self) -> Result<(), Failure>;
}

impl BatchAnswer for () {
    fn into_result(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl BatchAnswer for Result<(), Failure> {
    fn into_result(self) -> Result<(), Failure> {
        self
    }
}

/// What a handler of records may answer. The marker keeps JSON and outputs apart.
pub trait Answer<M> {
    fn give(self, outputs: &mut Vec<Output>) -> Result<(), Reject>;
}

#[derive(Debug)]
pub struct Fallible<M>(PhantomData<M>);
#[derive(Debug)]
pub struct OfJson;
#[derive(Debug)]
pub struct OfOutputs;

impl<A: Answer<M>, M> Answer<Fallible<M>> for Result<A, Reject> {
    fn give(self, outputs: &mut Vec<Output>) -> Result<(), Reject> {
        self?.give(outputs)
    }
}

impl Answer<OfOutputs> for () {
    fn give(self, _: &mut Vec<Output>) -> Result<(), Reject> {
        Ok(())
    }
}

impl Answer<OfOutputs> for Output {
    fn give(self, outputs: &mut Vec<Output>) -> Result<(), Reject> {
        outputs.push(self);
        Ok(())
    }
}

impl Answer<OfOutputs> for Option<Output> {
    fn give(self, outputs: &mut Vec<Output>) -> Result<(), Reject> {
        outputs.extend(self);
        Ok(())
    }
}

impl Answer<OfOutputs> for Vec<Output> {
    fn give(self, outputs: &mut Vec<Output>) -> Result<(), Reject> {
        outputs.extend(self);
        Ok(())
    }
}

impl<T: Serialize> Answer<OfJson> for Json<T> {
    fn give(self, outputs: &mut Vec<Output>) -> Result<(), Reject> {
        outputs.push(Output::json(&self.0)?);
        Ok(())
    }
}

impl<T: Serialize> Answer<OfJson> for Option<T> {
    fn give(self, outputs: &mut Vec<Output>) -> Result<(), Reject> {
        if let Some(value) = self {
            outputs.push(Output::json(&value)?);
        }
        Ok(())
    }
}

impl<T: Serialize> Answer<OfJson> for Vec<T> {
    fn give(self, outputs: &mut Vec<Output>) -> Result<(), Reject> {
        for value in &self {
            outputs.push(Output::json(value)?);
        }
        Ok(())
    }
}
