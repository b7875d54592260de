// The graph's picture: zoom, drag, search, and details of the box that is clicked.
"use strict";
(() => {
  const canvas = document.querySelector(".canvas");
  const svg = canvas && canvas.querySelector("svg");
  const source = document.getElementById("details");
  if (!svg || !source) return;
  const { boxes, nodes } = JSON.parse(source.textContent);
  const [width, height] = ["width", "height"].map((a) => Number(svg.getAttribute(a)));
  const groups = [...svg.querySelectorAll("g[data-box]")];
  const edges = [...svg.querySelectorAll(".edge")];
  const $ = (id) => document.getElementById(id);
  document.body.classList.add("live");

  // Zoom: the picture grows inside a scrolled area; the point (px, py) of it stays where it is.
  let scale = 1;
  function zoom(to, px = canvas.clientWidth / 2, py = canvas.clientHeight / 2) {
    const [x, y] = [(canvas.scrollLeft + px) / scale, (canvas.scrollTop + py) / scale];
    scale = Math.min(3, Math.max(0.02, to));
    svg.style.width = `${width * scale}px`;
    svg.style.height = `${height * scale}px`;
    canvas.scrollTo(x * scale - px, y * scale - py);
    $("scale").textContent = `${Math.round(100 * scale)} %`;
  }
  const whole = () => Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
  $("closer").onclick = () => zoom(scale * 1.3);
  $("farther").onclick = () => zoom(scale / 1.3);
  $("scale").onclick = () => zoom(1);
  $("whole").onclick = () => zoom(whole());
  canvas.addEventListener("wheel", (e) => {
    if (!e.ctrlKey && !e.metaKey) return;
    e.preventDefault();
    const area = canvas.getBoundingClientRect();
    zoom(scale * Math.exp(-e.deltaY / 300), e.clientX - area.left, e.clientY - area.top);
  }, { passive: false });

  let drag = null;
  canvas.addEventListener("pointerdown", (e) => {
    if (e.button === 0) drag = { x: e.clientX, y: e.clientY, left: canvas.scrollLeft, top: canvas.scrollTop, moved: false };
  });
  window.addEventListener("pointermove", (e) => {
    if (!drag) return;
    drag.moved ||= Math.hypot(e.clientX - drag.x, e.clientY - drag.y) > 4;
    if (drag.moved) canvas.scrollTo(drag.left + drag.x - e.clientX, drag.top + drag.y - e.clientY);
  });
  window.addEventListener("pointerup", (e) => {
    const still = drag && !drag.moved;
    drag = null;
    const group = still && e.target.closest && e.target.closest("g[data-box]");
    if (group) select(Number(group.dataset.box), false);
  });

  // Details: text only, so that no name can become markup.
  const add = (parent, tag, text, name) => {
    const element = parent.appendChild(document.createElement(tag));
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  function wires(panel, title, list) {
    if (!list.length) return;
    add(panel, "h3", title);
    for (const wire of list) {
      const item = add(panel, "div", undefined, "wire");
      add(item, "b", wire.name);
      add(item, "span", wire.kind, "quiet");
      if (wire.note) add(item, "span", wire.note, "quiet");
      for (const to of wire.to || []) {
        const link = add(item, "button", `${boxes[to].op} ${boxes[to].name}`);
        link.dataset.box = to;
      }
    }
  }
  function select(index, show = true) {
    const box = boxes[index];
    if (!box) return;
    groups.forEach((g, i) => g.classList.toggle("chosen", i === index));
    edges.forEach((e) => e.classList.toggle("chosen", e.dataset.from == index || e.dataset.to == index));
    const panel = $("panel");
    panel.replaceChildren();
    add(panel, "p", box.op, "op");
    add(panel, "p", box.name, "node-name");
    if (box.facts.length) {
      const table = add(panel, "table");
      for (const [name, value] of box.facts) {
        const row = add(table, "tr");
        add(row, "td", name, "quiet");
        add(row, "td", value);
      }
    }
    wires(panel, "Inputs", box.inputs);
    wires(panel, "Outputs", box.outputs);
    panel.scrollTop = 0;
    if (!show) return;
    if (scale < 0.6) zoom(1);
    const [g, area] = [groups[index].getBoundingClientRect(), canvas.getBoundingClientRect()];
    canvas.scrollBy(g.left + g.width / 2 - area.left - area.width / 2, g.top + g.height / 2 - area.top - area.height / 2);
  }
  document.addEventListener("click", (e) => {
    const link = e.target.closest("[data-box]");
    if (!link || svg.contains(link)) return;
    select(Number(link.dataset.box));
    if (!link.closest(".graph-area")) canvas.scrollIntoView({ block: "center" });
  });

  // Search in what the boxes show, names, facts and values.
  const texts = boxes.map((b, i) => [groups[i].textContent, b.op, b.name, ...b.facts.flat(), ...[...b.inputs, ...b.outputs].flatMap((w) => [w.name, w.kind])].join(" ").toLowerCase());
  let found = [];
  let current = -1;
  function tell() {
    $("found").textContent = !$("search").value ? "" : found.length ? `${current + 1} of ${found.length}` : "none";
  }
  function search() {
    const wanted = $("search").value.trim().toLowerCase();
    found = wanted ? texts.flatMap((text, i) => (text.includes(wanted) ? [i] : [])) : [];
    groups.forEach((g) => g.classList.remove("found"));
    found.forEach((i) => groups[i].classList.add("found"));
    svg.classList.toggle("searched", found.length > 0);
    current = found.length ? 0 : -1;
    if (found.length) select(found[0]);
    tell();
  }
  $("search").addEventListener("input", search);
  $("search").addEventListener("keydown", (e) => {
    if (e.key === "Escape") { $("search").value = ""; search(); }
    if (e.key !== "Enter" || !found.length) return;
    current = (current + (e.shiftKey ? found.length - 1 : 1)) % found.length;
    select(found[current]);
    tell();
  });
  document.addEventListener("keydown", (e) => {
    if (e.key !== "/" || /INPUT|TEXTAREA/.test(e.target.tagName)) return;
    e.preventDefault();
    $("search").focus();
  });

  // Memory over time: which node is under the pointer.
  const chart = document.querySelector("svg.memory");
  const under = (e) => {
    const { left, right } = chart.dataset;
    const area = chart.getBoundingClientRect();
    const x = ((e.clientX - area.left) / area.width) * chart.viewBox.baseVal.width;
    const index = Math.floor(((x - left) / (right - left)) * nodes.length);
    return index >= 0 && index < nodes.length ? index : -1;
  };
  if (chart && chart.dataset.left) {
    const label = $("under");
    chart.addEventListener("pointermove", (e) => {
      const node = nodes[under(e)];
      label.textContent = node ? `${node.live} while ${node.name} runs` : "\u00a0";
    });
    chart.addEventListener("pointerleave", () => { label.textContent = "\u00a0"; });
    chart.addEventListener("click", (e) => {
      const node = nodes[under(e)];
      if (!node || node.at === null) return;
      select(node.at);
      canvas.scrollIntoView({ block: "center" });
    });
  }

  const first = groups[0] && groups[0].getBoundingClientRect();
  if (first) canvas.scrollLeft = first.left + first.width / 2 - canvas.getBoundingClientRect().left - canvas.clientWidth / 2;
})();
