/**
 * The script of a report: zooming of timelines, and before over after with a slider. The page says everything without it.
 */

/** See the file's head. */
export const SCRIPT: string = `
"use strict";
for (const panel of document.querySelectorAll(".panel")) {
  const tools = panel.querySelector(".tools");
  const view = panel.querySelector(".view");
  const svg = view?.querySelector("svg");
  if (!tools || !svg) continue;
  let zoom = 1;
  const fit = () => {
    for (const text of svg.querySelectorAll(".on-bar")) {
      const bar = text.parentElement.querySelector("rect").getBoundingClientRect().width;
      text.classList.toggle("tight", text.getComputedTextLength() + 10 > bar);
    }
  };
  const zoomTo = (next) => {
    const middle = (view.scrollLeft + view.clientWidth / 2) / view.scrollWidth;
    zoom = Math.min(256, Math.max(1, next));
    svg.style.width = zoom * 100 + "%";
    view.scrollLeft = middle * view.scrollWidth - view.clientWidth / 2;
    fit();
  };
  tools.hidden = false;
  tools.querySelector(".in").addEventListener("click", () => zoomTo(zoom * 2));
  tools.querySelector(".out").addEventListener("click", () => zoomTo(zoom / 2));
  tools.querySelector(".whole").addEventListener("click", () => zoomTo(1));
  fit();
}
for (const output of document.querySelectorAll(".output")) {
  const tools = output.querySelector(".tools");
  const [before, after] = ["before", "after"].map((when) => output.querySelector("img." + when));
  if (!tools || !before || !after) continue;
  const stage = document.createElement("div");
  stage.className = "stage";
  stage.hidden = true;
  const lower = document.createElement("img");
  const upper = document.createElement("img");
  upper.className = "upper";
  upper.alt = "after";
  lower.alt = "before";
  const range = document.createElement("input");
  range.type = "range";
  range.className = "stage-range";
  range.hidden = true;
  range.setAttribute("aria-label", "before on the left, after on the right");
  const cut = () => { upper.style.clipPath = "inset(0 0 0 " + range.value + "%)"; };
  range.addEventListener("input", cut);
  stage.append(lower, upper);
  output.append(stage, range);
  const button = tools.querySelector("button");
  tools.hidden = false;
  button.addEventListener("click", () => {
    lower.src = before.src;
    upper.src = after.src;
    stage.hidden = range.hidden = !stage.hidden;
    button.setAttribute("aria-expanded", String(!stage.hidden));
    cut();
  });
}
`;
