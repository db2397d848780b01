//! The demo from its first word to its last: start, set up, feed, watch, tell, end. What each of them
//! does is elsewhere.
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{
    DemoArgs,
    client::Client,
    data::Data,
    feed,
    lines::TooLong,
    orders::Orders,
    pipelines::{ALERTS, ENRICH, LOG_LINES, Pipeline},
    progress::{self, Progress, grouped},
    screen::Screen,
    server::{self, Server},
    signals::Signals,
    story,
    watch::Watch,
};
use crate::telemetry::{self, LogFormat};

/// How often it looks, and how often it says so where nothing can be redrawn.
const LOOK: Duration = Duration::from_millis(100);
const SAY: Duration = Duration::from_secs(1);
/// How long nothing may move while there is work.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the demo to its end.
///
/// # Errors
/// What does not start, or with `--once` what keeps records from being handled.
pub fn run(args: &DemoArgs) -> Result<()> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned());
    telemetry::start(LogFormat::Human, &filter)?;
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    let ended = runtime.block_on(demo(args));
    // A thread may still wait for standard input; nobody waits for it.
    runtime.shutdown_background();
    ended
}

async fn demo(args: &DemoArgs) -> Result<()> {
    let mut screen = Screen::new();
    let mut signals = Signals::new()?;
    server::check(args.listen)?;
    if let Some(input) = &args.input {
        feed::check(input)?;
    }
    let data = Data::choose(args)?;
    screen.say(&data.words(args.once));
    let server = Server::start(data.path(), args.listen, &mut screen).await?;
    screen.say(&format!("Server on http://{}", server.at));
    let told = tokio::select! {
        told = all(args, &server, data.path(), &mut screen) => told.map(Some),
        () = signals.any() => Ok(None),
    };
    let told = match told {
        Ok(None) if args.once => Err(anyhow!("interrupted before everything was handled")),
        told => told,
    };
    if !args.once && matches!(told, Ok(Some(_))) {
        signals.any().await;
    }
    screen.leave();
    if !args.once {
        screen.say("Ending: feeds finish what they have out.");
    }
    if !server.stop().await {
        screen.note(
            "not everything came to rest in time; nothing is lost, it goes on at the next start",
        );
    }
    match told {
        Ok(answer) => {
            data.leave(args.once, &mut screen);
            if let Some(answer) = answer.filter(|_| args.once) {
                screen.say(&answer.to_string());
            }
            Ok(())
        }
        Err(error) => {
            data.leave(false, &mut screen);
            Err(error)
        }
    }
}

/// Sets up, feeds, watches and tells; gives the answer of `--once`. Without that, a trigger that is stuck
/// is told and left for a person to look at.
async fn all(args: &DemoArgs, server: &Server, data: &Path, screen: &mut Screen) -> Result<Value> {
    let mut client = Client::new(server.at);
    let pipelines = pipelines(args);
    for pipeline in &pipelines {
        let began = Instant::now();
        pipeline.set_up(&mut client).await?;
        let Pipeline { name, about, source, output, .. } = pipeline;
        let took = began.elapsed().as_millis();
        screen.say(&format!("  {source} -> {name} -> {output}: {about} (ready in {took} ms)"));
    }
    let mut watch = Watch::begin(Client::new(server.at), pipelines.clone()).await?;
    for (pipeline, seen) in pipelines.iter().zip(&watch.seen) {
        if seen.records_in > 0 {
            let before = grouped(seen.records_in);
            let source = pipeline.source;
            screen
                .say(&format!("  `{source}` holds {before} records from before: they are counted"));
        }
    }
    let left_out = handle(args, server, &mut watch, screen).await;
    let took = watch.elapsed();
    let summary = watch.summary(took);
    screen.conclude(&progress::table(took.as_secs_f64(), &summary));
    let left_out = match left_out {
        Ok(left_out) => left_out,
        Err(error) if args.once => return Err(error),
        Err(error) => {
            screen.say(&format!("\n{error:#}"));
            0
        }
    };
    story::tell(&mut client, &pipelines, screen).await?;
    if !args.once {
        screen.say(&story::next_steps(server.at, data, &pipelines));
    }
    answer(&summary, took, left_out)
}

fn pipelines(args: &DemoArgs) -> Vec<Pipeline> {
    let mut pipelines = Vec::new();
    if args.orders > 0 || args.input.is_none() {
        pipelines.extend([ENRICH, ALERTS]);
    }
    if args.input.is_some() {
        pipelines.push(LOG_LINES);
    }
    pipelines
}

/// Feeds, and watches until everything is handled. Gives how many lines were left out.
async fn handle(
    args: &DemoArgs,
    server: &Server,
    watch: &mut Watch,
    screen: &mut Screen,
) -> Result<u64> {
    let too_long = Arc::new(Mutex::new(Vec::new()));
    // Ends with its input, at the latest when it is dropped here. A panic in it is told as its failure.
    let feeding = feed_all(args.clone(), server.at, Arc::clone(&too_long));
    let mut feeding = AbortOnDropHandle::new(TaskTracker::new().spawn(feeding));
    let mut left_out = None;
    let mut said_at = Instant::now();
    loop {
        if left_out.is_none() && feeding.is_finished() {
            let fed = (&mut feeding).await.context("the feeding task failed")?;
            left_out = Some(fed?);
        }
        watch.look().await?;
        for TooLong { line, bytes } in std::mem::take(&mut *lock(&too_long)) {
            let max = grouped(feed::LINE_LIMITS.line_max as u64);
            let bytes = grouped(bytes);
            screen.note(&format!("line {line} is left out: {bytes} bytes, a record holds {max}"));
        }
        let rows = watch.progress();
        if screen.is_terminal() {
            screen.redraw(&progress::table(watch.elapsed().as_secs_f64(), &rows));
        } else if said_at.elapsed() >= SAY {
            said_at = Instant::now();
            screen.note(&progress::line(watch.elapsed().as_secs_f64(), &rows));
        }
        match left_out {
            Some(left_out) if watch.is_done() => return Ok(left_out),
            _ => watch.check(PATIENCE)?,
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Orders and lines side by side. Gives how many lines were left out.
async fn feed_all(
    args: DemoArgs,
    at: std::net::SocketAddr,
    too_long: Arc<Mutex<Vec<TooLong>>>,
) -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(0);
    let orders = async {
        let mut client = Client::new(at);
        let orders = Orders::new(args.seed, now);
        let rate = args.rate.map(std::num::NonZero::get);
        feed::orders(&mut client, orders, args.orders, rate).await
    };
    let lines = async {
        let Some(input) = &args.input else { return Ok(0) };
        let mut client = Client::new(at);
        feed::lines(&mut client, input, |line| lock(&too_long).push(line)).await
    };
    let ((), left_out) = tokio::try_join!(orders, lines)?;
    Ok(left_out)
}

/// What `--once` answers.
fn answer(summary: &[Progress], took: Duration, left_out: u64) -> Result<Value> {
    let mut triggers = Map::new();
    for one in summary {
        let Progress { trigger, records_in, handled, dead_lettered, out, .. } = one;
        if one.lag == 0 && *records_in != one.done() {
            bail!(
                "`{trigger}` took {records_in} records and accounts for {handled} handled and \
                 {dead_lettered} dead-lettered: this is a bug"
            );
        }
        let counts = json!({
            "in": records_in, "handled": handled, "dead_lettered": dead_lettered, "out": out
        });
        triggers.insert(trigger.clone(), counts);
    }
    let seconds = (took.as_secs_f64() * 1_000.0).round() / 1_000.0;
    let mut answer = json!({ "triggers": triggers, "seconds": seconds });
    if left_out > 0 {
        answer["lines_left_out"] = left_out.into();
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_each_trigger_and_adds_up_or_is_refused() {
        let mut lines = Progress {
            trigger: "log-lines".into(),
            records_in: 60_000,
            handled: 59_990,
            dead_lettered: 10,
            out: 59_990,
            ..Progress::default()
        };
        let told = answer(&[lines.clone()], Duration::from_millis(4_200), 0).unwrap();
        assert_eq!(
            told.to_string(),
            r#"{"triggers":{"log-lines":{"in":60000,"handled":59990,"dead_lettered":10,"out":59990}},"seconds":4.2}"#
        );
        lines.handled -= 1;
        assert!(answer(&[lines], Duration::ZERO, 0).is_err());
    }
}
