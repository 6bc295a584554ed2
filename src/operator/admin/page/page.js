// The status page. Text from events reaches the document by textContent only. The token stays in
// this module's memory: no cookie, no storage.

const OUTCOMES = ["delivered", "duplicate", "queued", "ignored", "handshake", "rejected", "held", "failed"];
const KEPT = 500;
const REFRESH_MS = 5000;
// For how many seconds a sender is assumed to retry if that is unknown.
const UNKNOWN_HORIZON = 4 * 86400;

const at = (id) => document.getElementById(id);
let token = null;
let status = null;
let deliveries = [];
let held = false;

// === the document

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

function table(titles, rows, empty) {
  if (rows.length === 0) return h("p", { class: "quiet" }, empty);
  return h("table", {}, h("thead", {}, h("tr", {}, titles.map((title) => h("th", { scope: "col" }, title)))), h("tbody", {}, rows));
}

const row = (...cells) => h("tr", {}, cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : h("td", {}, cell))));
const word = (kind, text) => h("span", { class: kind }, text);

function tell(problem) {
  at("problem").textContent = problem;
}

function ago(instant) {
  if (!instant) return "never";
  const seconds = (Date.now() - Date.parse(instant)) / 1000;
  if (Number.isNaN(seconds)) return String(instant);
  if (Math.abs(seconds) < 1) return "just now";
  return seconds < 0 ? `in ${span(-seconds)}` : `${span(seconds)} ago`;
}

function span(seconds) {
  const [count, unit] = seconds < 90 ? [seconds, "s"] : seconds < 5400 ? [seconds / 60, "min"] : seconds < 172800 ? [seconds / 3600, "h"] : [seconds / 86400, "days"];
  return `${Math.round(count)} ${unit}`;
}

const time = (instant) => h("time", { datetime: instant ?? "", title: instant ?? "" }, ago(instant));

// === requests

async function ask(path, options = {}) {
  const headers = { ...(options.headers ?? {}) };
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  if (answer.status === 401) {
    await signIn(token === null ? "" : "The proxy does not accept this token.");
    return ask(path, options);
  }
  return answer;
}

async function json(path, options) {
  const answer = await ask(path, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.title ?? `${path} answered ${answer.status}`);
  return body;
}

let asking = null;
function signIn(problem) {
  if (asking) return asking;
  const dialog = at("sign-in");
  at("sign-in-problem").textContent = problem;
  at("token").value = "";
  if (!dialog.open) dialog.showModal();
  asking = new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      token = at("token").value;
      at("token").value = "";
      asking = null;
      resolve();
    }, { once: true });
  });
  return asking;
}

function confirmed(title, text, yes, wantsReason) {
  const dialog = at("confirm");
  at("confirm-title").textContent = title;
  at("confirm-text").textContent = text;
  at("confirm-yes").textContent = yes;
  at("confirm-reason-label").hidden = !wantsReason;
  at("confirm-reason").value = "";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? { reason: at("confirm-reason").value } : null);
    }, { once: true });
  });
}

// === status

function health(upstream) {
  if (upstream.paused) return ["warn", "paused"];
  if (upstream.healthy === true) return ["good", "healthy"];
  if (upstream.healthy === false) return ["bad", "not healthy"];
  return ["quiet", "not known yet"];
}

function showStatus() {
  const sources = Object.entries(status.sources ?? {});
  const upstreams = Object.entries(status.upstreams ?? {});
  const down = sources.filter(([, source]) => !source.ready).map(([name]) => `source ${name} is not ready`);
  const ill = upstreams.filter(([, upstream]) => upstream.healthy === false).map(([name]) => `upstream ${name} is not healthy`);
  const stopped = upstreams.filter(([, upstream]) => upstream.paused).map(([name]) => `upstream ${name} is paused`);
  const ended = (status.certificates ?? []).filter((c) => Date.parse(c.not_after) < Date.now()).map((c) => `the certificate of ${c.use} has expired`);
  const bad = [...down, ...ill, ...ended];
  const verdict = at("verdict");
  verdict.className = bad.length ? "bad" : stopped.length ? "warn" : "good";
  const well = `All is well: ${sources.length} ${sources.length === 1 ? "source" : "sources"}, ${upstreams.length} ${upstreams.length === 1 ? "upstream" : "upstreams"}.`;
  const said = [...bad, ...stopped].join("; ");
  verdict.textContent = said ? `${said[0].toUpperCase()}${said.slice(1)}.` : well;
  at("facts").textContent = `Version ${status.version}, up for ${span(status.uptime_seconds)}, configuration ${String(status.config_hash).slice(0, 12)}, ${status.dedupe?.entries ?? "?"} ids in the ${status.dedupe?.store} store`;

  const token = status.token;
  at("who").textContent = token ? `Signed in as ${token.name}.${token.read_only ? " This token may only read: nothing can be changed from this page." : ""}` : "";

  redraw(at("sources"), table(["Source", "State", "Last event", "Last refusal", "Routes"], sources.map(([name, source]) => row(
    name,
    source.ready ? word("good", "ready") : word("bad", "not ready: no secret can be read"),
    time(source.last_event_at),
    source.last_refusal ? h("span", {}, `${source.last_refusal.reason}, `, time(source.last_refusal.at)) : "none",
    h("td", { class: "wrap" }, (source.routes ?? []).map((route) => `${route.events.join(", ")} → ${route.to.join(", ")}`).join("; ")),
  )), "No source is configured."));

  redraw(at("upstreams"), table(["Upstream", "State", "Last result", "When", "Last error"], upstreams.map(([name, upstream]) => row(
    name,
    word(...health(upstream)),
    upstream.last_result ?? "none",
    time(upstream.last_result_at),
    h("td", { class: "wrap" }, upstream.last_error ?? ""),
  )), "No upstream is configured."));

  showSecrets(sources);
  const certificates = status.certificates ?? [];
  at("certificates-section").hidden = certificates.length === 0;
  at("certificates").replaceChildren(table(["Used by", "Expires"], certificates.map((certificate) => {
    const days = (Date.parse(certificate.not_after) - Date.now()) / 86400000;
    return row(certificate.use, h("span", { class: days < 0 ? "bad" : days < 14 ? "warn" : "good" }, days < 0 ? "expired: " : "", time(certificate.not_after)));
  }), ""));
  showInbox();
  fill(at("filter-source"), sources.map(([name]) => name));
  fill(at("lookup-source"), sources.map(([name]) => name));
}

function fill(select, names) {
  const chosen = select.value;
  const fixed = [...select.options].filter((option) => option.value === "");
  select.replaceChildren(...fixed, ...names.map((name) => h("option", { value: name }, name)));
  if (names.includes(chosen)) select.value = chosen;
}

// === can an old secret be removed?

function showSecrets(sources) {
  const rows = sources.flatMap(([source, facts]) => (facts.secrets ?? []).map((secret, index) => {
    const horizon = facts.retry_horizon_seconds ?? UNKNOWN_HORIZON;
    const written = horizon < 172800 ? `${Math.ceil(horizon / 3600)} hours` : `${Math.ceil(horizon / 86400)} days`;
    const retries = facts.retry_horizon_seconds ? `the sender retries for ${written}` : `it is unknown how long the sender retries, so ${written} are assumed`;
    const quiet = secret.last_match_at ? (Date.now() - Date.parse(secret.last_match_at)) / 1000 : status.uptime_seconds;
    let verdict = "newest: keep";
    if (!secret.readable) verdict = word("bad", "cannot be read");
    else if (index > 0 && quiet > horizon) verdict = word("good", `can be removed: ${retries}`);
    else if (index > 0) verdict = word("warn", `keep${secret.last_match_at ? "" : ": no match since the start, but that is too recent"}: ${retries}`);
    return row(source, secret.name, time(secret.last_match_at), h("td", { class: "wrap" }, verdict));
  }));
  at("secrets").replaceChildren(table(["Source", "Secret", "Last match", "Can it be removed?"], rows, "No source has a secret."));
}

// === the inbox

async function change(path, body) {
  const answer = await ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).title ?? `answered ${answer.status}`);
}

// A refusal stays to be read; the next refresh would wipe it away.
async function changed(act) {
  try {
    await act();
    await refresh();
  } catch (fault) {
    tell(fault.message);
  }
}

// A control that changes something; nobody whose token may only read can press it.
function control(attributes, text) {
  return h("button", readOnly() ? { ...attributes, disabled: "", title: "Your token may only read." } : attributes, text);
}

const readOnly = () => status?.token?.read_only === true;

function showInbox() {
  const inbox = status.inbox;
  at("inbox-section").hidden = !inbox;
  if (!inbox) return;
  const rows = Object.entries(inbox.events ?? {}).map(([name, counts]) => {
    const paused = status.upstreams?.[name]?.paused;
    const act = async () => {
      const wish = paused ? "resume" : "pause";
      if (!(await confirmed(`${paused ? "Resume" : "Pause"} ${name}?`, paused ? "Waiting events are sent again, slowly at first." : "Nothing is sent to it until it is resumed.", paused ? "Resume" : "Pause"))) return;
      await changed(() => change(`upstreams/${encodeURIComponent(name)}/${wish}`, {}));
    };
    const replay = async () => {
      if (!(await confirmed(`Replay ${counts.dead} dead events of ${name}?`, "Each is sent again with a budget of its own.", `Replay ${counts.dead}`, true))) return;
      await changed(() => change("inbox/replay", { filter: { to: name, state: "dead" }, expect: counts.dead, reason: at("confirm-reason").value }));
    };
    return row(name, counts.ready ?? 0, counts.waiting ?? 0, counts.in_flight ?? 0, counts.dead ?? 0,
      control({ onclick: act, "aria-label": `${paused ? "Resume" : "Pause"} ${name}` }, paused ? "Resume" : "Pause"),
      counts.dead ? control({ onclick: replay, "aria-label": `Replay dead events of ${name}` }, "Replay dead") : "");
  });
  at("inbox").replaceChildren(
    h("p", { class: "quiet" }, `${inbox.bytes ?? 0} bytes on disk`),
    table(["Upstream", "Ready", "Waiting", "In flight", "Dead", "", ""], rows, "Nothing is waiting."),
  );
}

// === deliveries

function matches(delivery) {
  return (!at("filter-source").value || delivery.source === at("filter-source").value)
    && (!at("filter-outcome").value || delivery.outcome === at("filter-outcome").value)
    && (!at("filter-reason").value || delivery.reason === at("filter-reason").value)
    && (!at("filter-id").value || (delivery.event_id ?? "").includes(at("filter-id").value));
}

const duration = (ms) => (ms < 10 ? `${Number(ms).toFixed(2)} ms` : ms < 10000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`);
const keyOf = (delivery) => `${delivery.at} ${delivery.trace_id} ${delivery.client} ${delivery.duration_ms}`;
const tone = (outcome) => ({ failed: "bad", rejected: "bad", held: "warn" }[outcome] ?? "good");

// Redraws an element and keeps the focus.
function redraw(element, ...children) {
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  element.replaceChildren(...children);
  if (key !== undefined) [...element.querySelectorAll("[data-key]")].find((child) => child.dataset.key === key)?.focus();
}

let drawing = false;
function showSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    showDeliveries();
  });
}

function showDeliveries() {
  if (!held) {
    const rows = deliveries.filter(matches).slice(0, 100).map((delivery) => row(
      time(delivery.at),
      h("button", { class: "plain", "data-key": keyOf(delivery), onclick: () => show(delivery) }, delivery.event_id || "no event id"),
      h("span", {}, word(tone(delivery.outcome), delivery.outcome), delivery.reason ? ` ${delivery.reason}` : ""),
      delivery.source || "none",
      delivery.event_type ?? "",
      delivery.status,
      duration(delivery.duration_ms),
    ));
    redraw(at("list"), table(["When", "Event", "Outcome", "Source", "Type", "Status", "Took"], rows, deliveries.length ? "No delivery matches the filters." : "No delivery yet."));
  }
  showRate();
}

function show(delivery) {
  const steps = [h("li", {}, `Received from ${delivery.client}, ${delivery.body_bytes} bytes`)];
  if (delivery.event_id) steps.push(h("li", {}, `Verified: event ${delivery.event_id} of type ${delivery.event_type}`));
  for (const destination of delivery.destinations ?? []) {
    steps.push(h("li", {}, `${destination.name}: ${destination.result}, ${destination.ms} ms`));
  }
  steps.push(h("li", {}, `Answered ${delivery.status} ${delivery.outcome} after ${delivery.duration_ms} ms`));
  const [what, next] = REASONS[delivery.reason] ?? [];
  at("one-body").replaceChildren(
    h("ol", { class: "path" }, steps),
    ...(what ? [h("p", {}, h("strong", {}, `${delivery.reason}: `), what), h("p", {}, next)] : []),
    ...(delivery.outcome === "rejected" && delivery.source ? [h("button", { onclick: () => showCaptures(delivery.source) }, "Show captured refusals"), h("div", { id: "captures" })] : []),
    h("p", { class: "quiet" }, `Trace ${delivery.trace_id ?? "none"}, ${delivery.at}`),
    ...(delivery.event_id ? [h("button", { onclick: () => lookUp(delivery.source, delivery.event_id) }, "Look up this event")] : []),
  );
  at("one").hidden = false;
  at("one-title").focus();
}

async function showCaptures(source) {
  const place = at("captures");
  const path = `captures/${encodeURIComponent(source)}`;
  try {
    const captures = await json(path);
    const open = async (capture) => {
      const answer = await ask(`${path}/${capture.id}`);
      at("capture").textContent = answer.ok ? await answer.text() : "It was dropped to make room for newer ones.";
    };
    const rows = captures.map((capture, index) => row(
      time(capture.at), capture.reason, capture.client, `${capture.body_bytes} bytes`,
      h("button", { onclick: () => open(capture), "aria-label": `Show the request of ${capture.at}` }, "Show"),
      h("td", { class: "wrap" }, h("code", {}, `hookward explain --source ${source} --last ${index + 1}`)),
    ));
    const none = status.sources?.[source]?.capture ? "Nothing has been captured yet." : "This source captures nothing. Set capture = 20 in its table and reload.";
    place.replaceChildren(h("div", { class: "scroll" }, table(["Arrived", "Reason", "From", "Body", "Request", "Explain"], rows, none)), h("pre", { id: "capture", tabindex: "0", role: "region", "aria-label": "The captured request" }));
  } catch (fault) {
    place.replaceChildren(h("p", { class: "bad" }, fault.message));
  }
}

// Server-sent events through fetch, because EventSource cannot send the token.
async function follow() {
  let pause = 1000;
  for (;;) {
    try {
      // Open the stream first, so that nothing is missed between the two requests.
      const answer = await ask("deliveries/stream");
      if (!answer.ok) throw new Error(`the stream answered ${answer.status}`);
      deliveries = (await json(`deliveries?limit=${KEPT}`)).deliveries;
      const known = new Set(deliveries.map(keyOf));
      showDeliveries();
      at("stream").textContent = "Live.";
      pause = 1000;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const events = (rest + value).split("\n\n");
        rest = events.pop();
        for (const event of events) {
          const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
          if (!data) continue;
          const delivery = JSON.parse(data);
          if (!known.delete(keyOf(delivery))) deliveries.unshift(delivery);
        }
        deliveries.length = Math.min(deliveries.length, KEPT);
        showSoon();
      }
    } catch (fault) {
      at("stream").textContent = `Not live: ${fault.message}. Retrying.`;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 15000);
  }
}

// === find an event

async function lookUp(source, id) {
  at("lookup-source").value = source;
  at("lookup-id").value = id;
  const result = at("lookup-result");
  const path = `dedupe/${encodeURIComponent(source)}/${encodeURIComponent(id)}`;
  try {
    const answer = await ask(path);
    const body = await answer.json();
    if (answer.status === 404) {
      result.replaceChildren(h("p", {}, "This event is unknown: it never arrived, or was forgotten."));
      return;
    }
    if (!answer.ok) throw new Error(body.title);
    const rows = Object.entries(body.destinations ?? {}).map(([name, state]) => row(name, state.state, time(state.since)));
    const forget = async () => {
      if (!(await confirmed("Forget this event?", `If the sender sends ${id} again, every destination gets it, even those that already have it.`, "Forget"))) return;
      const gone = await ask(path, { method: "DELETE" });
      if (gone.ok) result.replaceChildren(h("p", {}, "Forgotten: the next delivery of this event will be forwarded."));
      else result.append(h("p", { class: "bad", role: "alert" }, (await gone.json()).title));
    };
    result.replaceChildren(table(["Destination", "State", "Since"], rows, "No destination."), control({ class: "danger", onclick: forget }, "Forget"));
  } catch (fault) {
    result.replaceChildren(h("p", { class: "bad" }, fault.message));
  }
}

// === start

async function refresh() {
  try {
    status = await json("status");
    tell("");
    showStatus();
    showSoon();
  } catch (fault) {
    at("verdict").className = "bad";
    at("verdict").textContent = `The proxy does not answer: ${fault.message}.`;
  }
}

fill(at("filter-outcome"), OUTCOMES);
fill(at("filter-reason"), Object.keys(REASONS));
for (const id of ["filter-source", "filter-outcome", "filter-reason", "filter-id"]) at(id).addEventListener("input", showDeliveries);
at("hold").addEventListener("click", () => {
  held = !held;
  at("hold").setAttribute("aria-pressed", String(held));
  at("hold").textContent = held ? "Follow the list" : "Hold the list";
  showDeliveries();
});
at("sign-in").addEventListener("cancel", (event) => event.preventDefault());
at("lookup").addEventListener("submit", (event) => {
  event.preventDefault();
  lookUp(at("lookup-source").value, at("lookup-id").value);
});
await refresh();
setInterval(refresh, REFRESH_MS);
follow();
