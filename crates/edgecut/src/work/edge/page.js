const NOTE = "Requests per second and estimates over the last two minutes; latencies of the last thousand answers.";
const COLOURS = { exit: "#6a51a3", local: "#2e7d6b", split: "#3b7dd8", cloud: "#8fb8ea", late: "#c0392b" };
const MARKS = Object.keys(COLOURS);
const number = value => (value ?? 0).toLocaleString();
const megabytes = bytes => (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0) + " MB";

function panel(title, ...content) {
  const box = element("section");
  box.append(element("h2", title), ...content);
  return box;
}

function figures(values) {
  const box = element("div", undefined, "figures");
  box.append(...Object.entries(values).map(([name, value]) => figure(name, value)));
  return box;
}

// Requests per second, one mark upon the other.
function areas(past) {
  const marks = MARKS.filter(mark => mark in past), points = past.local.length;
  const base = Array(points).fill(0), shapes = [];
  const most = Math.max(1, ...base.map((_, i) => marks.reduce((sum, mark) => sum + past[mark][i], 0)));
  for (const mark of marks) {
    const below = [...base];
    past[mark].forEach((rate, i) => base[i] += rate);
    const back = line(below, most).slice(1).split("L").reverse().join("L");
    if (points > 1) shapes.push({ d: `${line(base, most)}L${back}Z`, fill: COLOURS[mark] });
  }
  const svg = drawing(shapes);
  svg.style.height = "120px";
  return [svg, most];
}

function legend(answers) {
  const row = element("p");
  const all = Math.max(1, sum(answers));
  for (const mark of MARKS.filter(mark => answers[mark] || mark in answers && mark !== "exit")) {
    const dot = element("span", "■ ");
    dot.style.color = COLOURS[mark];
    const share = (100 * answers[mark] / all).toFixed(1);
    row.append(dot, `${mark} ${number(answers[mark])} `, element("span", `(${share} %)   `, "soft"));
  }
  row.style.whiteSpace = "pre-wrap";
  return row;
}

function latencies(all) {
  const table = element("table"), head = element("tr");
  ["milliseconds", "p50", "p90", "p99"].forEach(text => head.append(element("th", text)));
  table.append(head);
  for (const name of ["all", ...MARKS].filter(name => all[name] && all[name][0] !== null)) {
    const row = element("tr");
    row.append(element("td", name), ...all[name].map(time => element("td", ms(time))));
    table.append(row);
  }
  return table;
}

function server(found) {
  const rate = (found.bits_per_second ?? 0) / 1e6;
  const works = found.breaker === "closed" && !found.ejected;
  const word = found.breaker !== "closed" ? `breaker ${found.breaker}`
    : found.ejected ? "left out: far slower than the others" : "works";
  const box = panel(found.url + " ", figures({
    "Mbit/s": found.bits_per_second === null ? "–" : rate.toFixed(rate < 10 ? 2 : 0),
    "ms round trip": ms(found.round_trip_ms),
    "ms in its queue": ms(found.queue_ms),
    "× planned time": found.slowdown.toFixed(2),
    "under way": found.under_way,
    "times given up": number(found.opened),
  }));
  if (rate) {
    const past = found.past.map(rate => (rate ?? 0) / 1e6), most = Math.max(...past);
    box.append(curve(past), element("p", `at most ${most.toFixed(2)} Mbit/s`, "soft"));
  }
  box.firstChild.append(element("span", word, works ? "good" : "bad"));
  if (found.skewed_plans) {
    box.append(element("p", `has another version of ${found.skewed_plans} plans`, "bad"));
  }
  return box;
}

function cascade(found) {
  const percent = share => `${+(100 * share).toPrecision(3)} %`;
  const box = panel("cascade ", figures({
    [`confidence (${found.score}) from which the device answers`]: found.thresholds.map(t => t.toFixed(4)).join(", ") || "never",
    [`certified ${found.risk}, with probability ${percent(1 - found.delta)}`]: percent(found.epsilon),
    "audited": number(found.audited),
    [`of them differ; alarm above ${percent(found.limit)}`]: number(found.differing),
    [`evidence of drift; alarm at ${number(1 / found.alpha)}`]: found.evidence.toPrecision(3),
  }));
  box.firstChild.append(element("span", found.alarmed
    ? "alarm: every request goes to a server" : "the certificate holds", found.alarmed ? "bad" : "good"));
  return box;
}

function draw(status) {
  const now = MARKS.reduce((sum, mark) => sum + (status.past[mark]?.at(-1) ?? 0), 0);
  const [svg, most] = areas(status.past);
  const top = element("p", `at most ${most.toFixed(most < 10 ? 1 : 0)} requests/s`, "soft");
  const boxes = [panel(status.model, figures({
    "requests/s": now.toFixed(now < 10 ? 1 : 0),
    "ms p50": ms(status.latency_ms.all[0]),
    "ms p99": ms(status.latency_ms.all[2]),
    "here now": number(status.open),
    "ms of work ahead": ms(status.backlog_ms),
    "late": number(status.answers.late),
  }), ...status.cascade ? [] : [element("p", `plan now: ${status.plans[status.plan]}`)], svg, top, legend(status.answers),
    latencies(status.latency_ms))];
  const counts = Object.entries(status.counts).filter(([, count]) => count);
  if (counts.length) {
    boxes[0].append(element("p", counts.map(([name, count]) => `${name} ${number(count)}`).join(", "), "soft"));
  }
  if (status.cascade) boxes.push(cascade(status.cascade));
  boxes.push(...status.servers.map(server));
  const store = status.store;
  if (store) {
    boxes.push(panel("samples for later", figures({
      "wait": number(store.waiting),
      "set aside": number(store.aside),
      [`of ${megabytes(store.most_bytes)}`]: megabytes(store.bytes),
      "stored": number(store.stored),
      "forwarded": number(store.forwarded),
      "found no room": number(store.overflowed),
    })));
  }
  return boxes;
}
