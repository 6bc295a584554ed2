// Deliveries per minute by outcome, and how long they took.
const CHART_MINUTES = 30;

// How long deliveries took, in words.
function showPace() {
  const took = deliveries.filter((d) => d.outcome === "delivered").map((d) => d.duration_ms).sort((a, b) => a - b);
  const part = (share) => took[Math.min(took.length - 1, Math.floor(took.length * share))];
  const round = (ms) => (ms < 10 ? ms.toFixed(1) : Math.round(ms));
  at("pace").textContent = took.length ? `Of the last ${took.length} delivered, half took less than ${round(part(0.5))} ms, 95 in 100 less than ${round(part(0.95))} ms.` : "";
}

function showRate() {
  const minutes = Array.from({ length: CHART_MINUTES }, () => ({}));
  const now = Math.floor(Date.now() / 60000);
  for (const delivery of deliveries) {
    const age = now - Math.floor(Date.parse(delivery.at) / 60000);
    const bin = minutes[CHART_MINUTES - 1 - age];
    if (bin) bin[delivery.outcome] = (bin[delivery.outcome] ?? 0) + 1;
  }
  const kinds = ["delivered", "duplicate", "held", "failed", "rejected"];
  const of = (bin, kind) => (kind === "other" ? OUTCOMES.filter((o) => !kinds.includes(o)).reduce((sum, o) => sum + (bin[o] ?? 0), 0) : bin[kind] ?? 0);
  const total = (bin) => Object.values(bin).reduce((sum, count) => sum + count, 0);
  const most = Math.max(1, ...minutes.map(total));
  const svg = (tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const last = minutes[CHART_MINUTES - 1];
  const chart = svg("svg", { class: "chart", viewBox: "0 0 600 100", preserveAspectRatio: "none", role: "img", "aria-label": `Deliveries per minute over ${CHART_MINUTES} minutes, at most ${most}; ${total(last)} in this minute` });
  minutes.forEach((bin, index) => {
    let top = 100;
    for (const kind of [...kinds, "other"]) {
      const height = (of(bin, kind) / most) * 96;
      if (height > 0) {
        top -= height;
        chart.append(svg("rect", { class: `fill-${kind}`, x: index * 20 + 2, y: top, width: 16, height }));
      }
    }
  });
  const axis = h("p", { class: "axis quiet" }, h("span", {}, `${CHART_MINUTES} min ago`), h("span", {}, `at most ${most} a minute`), h("span", {}, "now"));
  const key = h("div", { class: "key" }, [...kinds, "other"].map((kind) => h("span", {}, h("span", { class: `swatch fill-${kind}` }), `${kind} ${deliveries.reduce((sum, d) => sum + ((kind === "other" ? !kinds.includes(d.outcome) : d.outcome === kind) ? 1 : 0), 0)}`)));
  at("rate").replaceChildren(chart, axis, key);
  showPace();
}

