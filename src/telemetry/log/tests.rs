//! The format of lines, and which lines are left out.

use super::line::LineFields;
use super::*;
use hookward_time::{ManualClock, UnixMillis};
use serde_json::Value;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines_as(format: LogFormat) -> LogLines {
    LogLines {
        is_terminal: false,
        format: Arc::new(ArcSwap::from_pointee(format)),
        clock: Arc::new(SystemClock::new()),
        limits: LineLimits::new(Arc::new(SystemClock::new())),
    }
}

fn line(format: LogFormat) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .event_format(lines_as(format))
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(
            source = "shop",
            reason = "",
            detail = "two words\n",
            status = 200_u64,
            destinations = r#"[{"name":"erp","result":"2xx","ms":3}]"#,
            "delivery"
        );
    });
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_text_line_leaves_out_what_is_empty_and_quotes_what_has_spaces() {
    let text = line(LogFormat::Text);
    assert!(text.contains("INFO  delivery"), "{text}");
    assert!(text.contains(r#"detail="two words\n""#), "{text}");
    assert!(text.contains(" source=shop") && !text.contains("reason"), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_json_line_has_the_fields_side_by_side_and_destinations_as_an_array() {
    let line: Value = serde_json::from_str(line(LogFormat::Json).trim_end()).unwrap();
    assert_eq!(line["message"], "delivery");
    assert_eq!(line["level"], "info");
    assert_eq!(line["source"], "shop");
    assert_eq!(line["status"], 200);
    assert_eq!(line["destinations"][0]["name"], "erp");
}

#[test]
fn fields_are_in_the_order_of_their_names_and_of_ours_there_is_one_each() {
    let put = |is_json, suppressed| {
        let mut fields = LineFields::new(is_json);
        fields.say("said \"so\"");
        for (name, number) in [("b", 2), ("suppressed", 9), ("a", 1), ("suppressed", suppressed)] {
            fields.put(name, number);
        }
        let mut line = String::new();
        fields.write(&mut line, "2026-01-01T00:00:00.000Z", tracing::Level::INFO, false).unwrap();
        line
    };
    let text = put(false, 12);
    assert_eq!(text, "2026-01-01T00:00:00.000Z INFO  said \"so\" a=1 b=2 suppressed=12\n");
    assert!(put(false, 0).ends_with("a=1 b=2\n"), "zero says nothing");
    let start = r#"{"timestamp":"2026-01-01T00:00:00.000Z","level":"info","message":"said \"so\"""#;
    assert_eq!(put(true, 0), format!("{start},\"a\":1,\"b\":2,\"suppressed\":0}}\n"));
}

#[test]
fn a_place_writes_20_lines_a_second_and_then_says_how_many_it_left_out() {
    let sink = Sink::default();
    let writer = sink.clone();
    let clock = Arc::new(ManualClock::at(UnixMillis(0)));
    let limits = LineLimits::new(clock.clone());
    let lines = LogLines { limits: limits.clone(), ..lines_as(LogFormat::Text) };
    let subscriber = tracing_subscriber::fmt()
        .event_format(lines)
        .with_writer(move || writer.clone())
        .finish()
        .with(limits);
    tracing::subscriber::with_default(subscriber, || {
        let write = || tracing::warn!("of a stranger");
        (0..5000).for_each(|_| write());
        tracing::warn!("of another place");
        clock.advance(Duration::from_millis(50));
        write();
    });
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("of a stranger").count(), 21, "{text}");
    assert!(text.contains("of another place\n"), "{text}");
    assert!(text.ends_with("of a stranger suppressed=4980\n"), "{text}");
}

#[test]
fn how_many_lines_were_lost_is_a_line_in_both_formats() {
    let text = lines_as(LogFormat::Text).lost(7);
    assert!(text.ends_with("WARN  log lines were lost, as nobody read them in time lost=7\n"));
    let json: Value = serde_json::from_str(&lines_as(LogFormat::Json).lost(7)).unwrap();
    assert_eq!((&json["level"], &json["lost"]), (&"warn".into(), &7.into()));
}

/// A sink that accepts nothing until it is released.
struct Stuck(Sink, std::sync::mpsc::Receiver<()>, bool);

impl io::Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.2 {
            self.1.recv().unwrap();
            self.2 = true;
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_line_is_written_or_counted_as_lost() {
    let lines = lines_as(LogFormat::Json);
    let (sink, (read, wait)) = (Sink::default(), std::sync::mpsc::channel());
    let counter = Counter::default();
    let stuck = Stuck(sink.clone(), wait, false);
    let (mut writer, worker) = NonBlockingBuilder::default()
        .buffered_lines_limit(10)
        .lossy(true)
        .finish(Telling::new(stuck, lines, Arc::clone(&counter)));
    counter.get_or_init(|| writer.error_counter());
    // Long ones, of which few are written together.
    let line = format!("{{\"message\":\"a line\",\"padding\":\"{}\"}}\n", "x".repeat(1000));
    for _ in 0..1000 {
        io::Write::write_all(&mut writer, line.as_bytes()).unwrap();
    }
    read.send(()).unwrap();
    drop(worker);
    let bytes = sink.0.lock().unwrap().clone();
    let lines: Vec<Value> = String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let written = lines.iter().filter(|line| line["message"] == "a line").count() as u64;
    let lost: u64 = lines.iter().filter_map(|line| line["lost"].as_u64()).sum();
    assert!(lost > 900, "{lost}");
    assert_eq!(written + lost, 1000);
}

/// Counts the calls.
#[derive(Default)]
struct Calls(Vec<String>);

impl io::Write for &mut Calls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_wait_are_written_together_whole_and_in_their_order() {
    let mut calls = Calls::default();
    let mut telling = Telling::new(&mut calls, lines_as(LogFormat::Text), Counter::default());
    let lines: Vec<String> = (0..10).map(|n| format!("{n}{}\n", "x".repeat(1000))).collect();
    for line in &lines {
        io::Write::write_all(&mut telling, line.as_bytes()).unwrap();
    }
    io::Write::flush(&mut telling).unwrap();
    assert_eq!(calls.0, [lines[..4].concat(), lines[4..8].concat(), lines[8..].concat()]);
    let long = "y".repeat(10_000) + "\n";
    let mut telling = Telling::new(&mut calls, lines_as(LogFormat::Text), Counter::default());
    io::Write::write_all(&mut telling, long.as_bytes()).unwrap();
    io::Write::flush(&mut telling).unwrap();
    assert_eq!(calls.0.last(), Some(&long));
}

#[test]
fn on_a_terminal_what_people_look_for_stands_in_columns() {
    let lines = LogLines { is_terminal: true, ..lines_as(LogFormat::Text) };
    let column_of_the_status = |fields: [(&'static str, &str); 4]| {
        let mut written = lines.fields();
        for (name, value) in fields {
            written.text(name, value);
        }
        let mut line = String::new();
        lines.write(&mut line, tracing::Level::INFO, &written).unwrap();
        assert!(line.contains(" reason="), "{line}");
        line.find("status=").unwrap()
    };
    let good = [("source", "shop"), ("outcome", "delivered"), ("status", "200"), ("reason", "")];
    let bad = [("source", ""), ("outcome", "held"), ("status", "503"), ("reason", "in_flight")];
    assert_eq!(column_of_the_status(good), column_of_the_status(bad));
}
