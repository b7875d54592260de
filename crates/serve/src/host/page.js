const NOTE = "Requests per second over the last two minutes; latencies since the start.";
const before = new Map(), rates = new Map();

function show(model, seconds) {
  const key = model.name + "/" + model.version;
  const last = before.get(key), refused = sum(model.refused);
  const rate = last ? (model.answered - last.answered) / Math.max(seconds - last.seconds, 0.001) : 0;
  before.set(key, { answered: model.answered, seconds });
  const history = rates.get(key) || [];
  if (last) history.push(Math.max(rate, 0));
  rates.set(key, history.slice(-KEPT));
  const box = element("section");
  const title = element("h2", model.name + " ");
  title.append(element("span", "version " + model.version + " · ", "soft"),
    element("code", model.digest.slice(0, 12)));
  const figures = element("div", undefined, "figures");
  figures.append(
    figure("requests/s", rate.toFixed(rate < 10 ? 1 : 0)),
    figure("answered", model.answered.toLocaleString()),
    figure("refused", refused.toLocaleString()),
    figure("gone away", model.cancelled.toLocaleString()),
    figure("here now", model.in_flight),
    figure("in the queue", model.queued),
    figure("rows a batch", model.batches ? (model.rows / model.batches).toFixed(2) : "–"),
    figure("ms a row", ms(model.row_ms)));
  const table = element("table"), head = element("tr");
  ["milliseconds", "p50", "p90", "p99"].forEach(text => head.append(element("th", text)));
  table.append(head);
  for (const [name, times] of [["queue", model.queue_ms], ["compute", model.compute_ms], ["total", model.total_ms]]) {
    const row = element("tr");
    row.append(element("td", name), ...times.map(t => element("td", ms(t))));
    table.append(row);
  }
  box.append(title, figures, curve(rates.get(key)), table);
  if (refused) {
    const why = Object.entries(model.refused).map(([kind, n]) => `${kind} ${n.toLocaleString()}`);
    box.append(element("p", "refused: " + why.join(", "), "soft"));
  }
  return box;
}

function draw(status) {
  return status.models.map(model => show(model, status.seconds));
}
