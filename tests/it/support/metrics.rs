//! Counters as Prometheus would read them.

/// One reading of `/metrics`.
#[derive(Clone, Debug)]
pub struct Scrape(String);

impl Scrape {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    /// The sum of the series of this name that have all of these labels; 0 if there are none.
    #[track_caller]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        self.0
            .lines()
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                let (found, rest) = series.split_once('{').unwrap_or((series, "}"));
                let rest = format!(",{}", rest.strip_suffix('}')?);
                let has =
                    |(label, value): &(&str, &str)| rest.contains(&format!(",{label}=\"{value}\""));
                (found == name && labels.iter().all(has))
                    .then(|| value.parse::<i64>().expect("a whole number"))
            })
            .sum()
    }
}

#[test]
fn a_series_is_found_by_name_and_any_of_its_labels() {
    let scrape = Scrape::new(
        "# HELP a_total Things.\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"5\"} 4\nb 7\n"
            .to_owned(),
    );
    assert_eq!(scrape.sum("a_total", &[("x", "1")]), 7);
    assert_eq!(scrape.sum("a_total", &[("y", "5"), ("x", "1")]), 4);
    assert_eq!(scrape.sum("b", &[]), 7);
    assert_eq!(scrape.sum("a_total", &[("y", "9")]), 0);
}
