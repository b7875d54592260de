// The profile: a click enlarges a box of the icicle, the step under the pointer is explained below
// it and marked in both drawings and the table.
"use strict";
(() => {
  const icicle = document.getElementById("icicle");
  const at = document.getElementById("at");
  if (!icicle || !at) return;
  const boxes = [...icicle.querySelectorAll(".span")].map((element) => ({
    element, from: Number(element.dataset.from), to: Number(element.dataset.to), text: element.title,
  }));

  function show(from, to) {
    const scale = 100 / (to - from);
    for (const box of boxes) {
      // What surrounds the chosen box fills the width; what lies beside it goes.
      const [left, right] = [Math.max(box.from, from), Math.min(box.to, to)];
      const style = box.element.style;
      box.element.classList.toggle("out", right - left <= 1e-9 * (to - from));
      style.left = `${(left - from) * scale}%`;
      style.width = `${(right - left) * scale}%`;
    }
    for (const { element } of boxes) element.classList.toggle("narrow", element.clientWidth < 16);
  }
  const whole = boxes[0];
  for (const box of boxes) box.element.onclick = () => show(box.from, box.to);
  addEventListener("resize", () => {
    for (const { element } of boxes) element.classList.toggle("narrow", element.clientWidth < 16);
  });
  if (whole) show(whole.from, whole.to);

  const marked = [...document.querySelectorAll("[data-step]")];
  function light(step) {
    for (const element of marked) element.classList.toggle("lit", element.dataset.step === step);
  }
  const texts = new Map();
  for (const { element, text } of boxes) if (element.dataset.step) texts.set(element.dataset.step, text);
  document.addEventListener("pointerover", (event) => {
    const element = event.target.closest("[data-step], .span");
    light(element ? element.dataset.step : undefined);
    if (!element) return;
    const text = element.dataset.step ? texts.get(element.dataset.step) : element.title;
    if (text) at.textContent = text;
  });
})();
