//! What lines look like, and which are left out.

use super::*;
use hookward_time::{ManualClock, UnixMillis};
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

fn lines_as(format: LogFormat) -> Lines {
    Lines {
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
fn a_place_writes_20_lines_a_second_and_then_says_how_many_it_left_out() {
    let sink = Sink::default();
    let writer = sink.clone();
    let clock = Arc::new(ManualClock::at(UnixMillis(0)));
    let limits = LineLimits::new(clock.clone());
    let lines = Lines { limits: limits.clone(), ..lines_as(LogFormat::Text) };
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

/// A sink that takes nothing until it is told to.
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
    for _ in 0..1000 {
        io::Write::write_all(&mut writer, b"{\"message\":\"a line\"}\n").unwrap();
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

#[test]
fn on_a_terminal_what_people_look_for_stands_in_columns() {
    let lines = Lines { is_terminal: true, ..lines_as(LogFormat::Text) };
    let column_of_the_status = |fields: Value| {
        let Value::Object(fields) = fields else { panic!("{fields}") };
        let mut line = String::new();
        lines.write(&mut line, tracing::Level::INFO, fields).unwrap();
        assert!(line.contains(" reason="), "{line}");
        line.find("status=").unwrap()
    };
    let good = serde_json::json!({
        "message": "delivery", "source": "shop", "outcome": "delivered", "status": 200, "reason": "",
    });
    let bad = serde_json::json!({
        "message": "delivery", "source": "", "outcome": "held", "status": 503, "reason": "in_flight",
    });
    assert_eq!(column_of_the_status(good), column_of_the_status(bad));
}
