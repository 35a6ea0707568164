//! `marmot-operator next`: when a schedule runs, and what daylight saving does to it.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jiff::civil::DateTime;
use scheduler::schedule::{Schedule, Zone};
use serde::Serialize;
use serde_json::json;

use super::Output;
use super::manifest::{self, Node};

/// Flags of `next`.
#[derive(Args, Clone, Debug)]
pub struct NextArgs {
    /// Schedule as in spec.schedule, such as '30 2 * * *' or '@every 1h'
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub schedule: Option<String>,

    /// Manifest whose Runs are meant, with their time zones; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,

    /// Time zone as in spec.timeZone, such as Europe/Berlin
    #[arg(short, long, default_value = "UTC", conflicts_with = "file")]
    pub zone: String,

    /// Count from this time on: 2026-03-28T12:00:00Z, or 2026-03-28 or 2026-03-28T12:00 in the zone [default: now]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,

    /// How many
    #[arg(short = 'n', long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub count: u16,

    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// A schedule to tell about.
struct Asked {
    /// The Run it stands in.
    run: Option<String>,
    expression: String,
    schedule: Schedule,
}

/// What `next` tells about one schedule.
#[derive(Serialize)]
struct Answer {
    run: Option<String>,
    schedule: String,
    zone: String,
    description: String,
    from: Timestamp,
    ticks: Vec<Tick>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tick {
    time: Timestamp,
    /// On the clocks of the zone.
    local: String,
    in_seconds: u64,
    /// What the clocks do to it (R23).
    note: Option<String>,
}

/// Prints the next ticks. Exit code 1 if there is none, 2 if the question cannot be understood.
#[must_use]
pub fn main(args: &NextArgs) -> ExitCode {
    let told = asked(args).and_then(|asked| {
        let now = Timestamp::now();
        asked.iter().map(|asked| answer(asked, args, now)).collect::<Result<Vec<_>, String>>()
    });
    let answers = match told {
        Ok(told) => told,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    match (args.output, answers.as_slice()) {
        (Output::Text, answers) => answers.iter().for_each(|answer| print!("{answer}")),
        (Output::Json, [answer]) if args.file.is_none() => println!("{:#}", json!(answer)),
        (Output::Json, answers) => println!("{:#}", json!(answers)),
    }
    ExitCode::from(u8::from(answers.is_empty() || answers.iter().any(|answer| answer.ticks.is_empty())))
}

fn asked(args: &NextArgs) -> Result<Vec<Asked>, String> {
    let Some(file) = &args.file else {
        let expression = args.schedule.clone().unwrap_or_default();
        return Ok(vec![Asked { run: None, schedule: parse(&expression, &args.zone)?, expression }]);
    };
    let mut asked = Vec::new();
    for run in manifest::read(file)?.iter().filter(|object| manifest::is_run(object)) {
        let name = run.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text).unwrap_or("?");
        let field = |field: &str| run.get("spec").and_then(|spec| spec.get(field)).and_then(Node::text);
        let Some(expression) = field("schedule").filter(|text| !text.is_empty()) else {
            eprintln!("{file}: Run {name} has no schedule: it runs once for each change of its pipeline");
            continue;
        };
        let schedule = parse(expression, field("timeZone").unwrap_or("UTC"));
        let schedule = schedule.map_err(|error| format!("{file}: Run {name}: {error}"))?;
        asked.push(Asked { run: Some(name.to_owned()), expression: expression.to_owned(), schedule });
    }
    Ok(asked)
}

fn parse(expression: &str, zone: &str) -> Result<Schedule, String> {
    let zone = Zone::parse(zone).map_err(|error| format!("time zone: {error}"))?;
    Schedule::parse(expression, &zone).map_err(|error| format!("schedule {expression:?}: {error}"))
}

fn answer(asked: &Asked, args: &NextArgs, now: Timestamp) -> Result<Answer, String> {
    let Asked { run, expression, schedule } = asked;
    let from = args.from.as_deref().map_or(Ok(now), |text| instant(text, schedule.zone()))?;
    let mut ticks = Vec::new();
    let mut after = from;
    while let Some(time) = schedule.next_in(from, after).filter(|_| ticks.len() < usize::from(args.count)) {
        let local = time.to_zoned(schedule.zone().time_zone().clone());
        ticks.push(Tick {
            time,
            local: local.strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string(),
            in_seconds: u64::try_from(time.duration_since(from).as_secs()).unwrap_or_default(),
            note: schedule.note(time).map(|note| note.to_string()),
        });
        after = time;
    }
    Ok(Answer {
        run: run.clone(),
        schedule: expression.clone(),
        zone: schedule.zone().name().to_owned(),
        description: schedule.describe(),
        from,
        ticks,
    })
}

/// An instant, or a time on the clocks of the zone.
fn instant(text: &str, zone: &Zone) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let civil: DateTime = text
        .parse()
        .map_err(|_| format!("--from {text:?}: write 2026-03-28T12:00:00Z, 2026-03-28T12:00 or 2026-03-28"))?;
    let zoned = civil.to_zoned(zone.time_zone().clone()).map_err(|error| format!("--from {text:?}: {error}"))?;
    Ok(zoned.timestamp())
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(run) = &self.run {
            write!(f, "Run {run}: ")?;
        }
        writeln!(f, "{}, {}\n", self.description, self.zone)?;
        if self.ticks.is_empty() {
            writeln!(f, "it never runs: there is no such date")?;
        }
        for Tick { time, local, in_seconds, note } in &self.ticks {
            let away = humantime::format_duration(Duration::from_secs(*in_seconds));
            writeln!(f, "{local:<29}  {time}  in {away}")?;
            if let Some(note) = note {
                writeln!(f, "    {note}")?;
            }
        }
        Ok(())
    }
}
