// The page of one run. It reads the JSON in #data, and writes text only, never HTML.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const stages = ["decode", "detect", "deblur", "paste", "encode"];

// Before and after: the slider says where the line is.
for (const slider of document.querySelectorAll(".compare input")) {
  slider.addEventListener("input", () => {
    const before = Number(slider.value);
    slider.parentElement.style.setProperty("--at", `${before}%`);
    slider.setAttribute(
      "aria-valuetext",
      `${before} percent before, ${100 - before} percent after`,
    );
  });
}

// Longer lists open on demand.
for (const button of document.querySelectorAll("[data-more]")) {
  button.addEventListener("click", () => {
    const rows = document.querySelectorAll(`#${button.dataset.more} [hidden]`);
    for (const row of rows) row.hidden = false;
    rows[0].tabIndex = -1; // a button that goes would take the focus with it
    rows[0].focus();
    button.remove();
  });
}

// One moment for all charts: whichever is pointed at moves the others as well.
const charts = [...document.querySelectorAll("[data-scrub]")];

function moment(at) {
  const first = at * data.size;
  const last = Math.min(first + data.size, data.frames) - 1;
  const frames = first === last ? `frame ${first}` : `frames ${first} to ${last}`;
  return data.labels[at] ? `${data.labels[at]}, ${frames}` : frames;
}

function share(hundredths) {
  return (hundredths / 100).toFixed(2);
}

// What a lane says of a moment; nothing where the face is not there.
function reading(lane, at) {
  const weight = lane.weight[at - lane.from];
  if (weight === undefined || weight === null) return "";
  const before = lane.before[at - lane.from];
  const after = lane.after[at - lane.from];
  const sharp = before === null ? "" : ` · ${share(before)} → ${share(after)}`;
  if (weight > 0) return share(weight) + sharp;
  return "unchanged" + (before === null ? "" : ` · ${share(before)}`);
}

function spoken(lane, at) {
  const text = reading(lane, at);
  if (!text) return "";
  const [weight, sharp] = text.split(" · ");
  const changed = weight === "unchanged" ? weight : `weight ${weight}`;
  return `${lane.name} ${changed}${sharp ? `, sharpness ${sharp.replace(" → ", " to ")}` : ""}`;
}

function facesAt(at) {
  const told = data.lanes.map((lane) => spoken(lane, at)).filter(Boolean);
  const more = told.length > 5 ? `; and ${told.length - 5} more` : "";
  return (told.slice(0, 5).join("; ") || "no face") + more;
}

function costsAt(at) {
  const spent = data.spent[at];
  return stages.map((stage, i) => `${stage} ${spent[i].toFixed(1)}`).join(", ") + " milliseconds";
}

function show(at) {
  for (const chart of charts) {
    const slider = chart.querySelector("input");
    slider.value = at;
    const told = chart.id === "lanes" ? facesAt(at) : costsAt(at);
    slider.setAttribute("aria-valuetext", `${moment(at)}: ${told}`);
    chart.style.setProperty("--at", `${(100 * (at + 0.5)) / data.bins}%`);
    chart.querySelector(".moment").textContent = moment(at);
  }
  document.querySelectorAll("#lanes .here").forEach((cell, i) => {
    cell.textContent = reading(data.lanes[i], at);
  });
  const spent = [...data.spent[at], data.spent[at].reduce((sum, value) => sum + value, 0)];
  document.querySelectorAll(".stages td.now").forEach((cell, i) => {
    cell.textContent = spent[i].toFixed(1);
  });
}

for (const chart of charts) {
  const slider = chart.querySelector("input");
  slider.addEventListener("input", () => show(Number(slider.value)));
  slider.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse") return; // a finger that scrolls means no moment
    const place = slider.getBoundingClientRect();
    const at = Math.floor((data.bins * (event.clientX - place.left)) / place.width);
    show(Math.max(0, Math.min(data.bins - 1, at)));
  });
}
// It begins where the first face was changed.
const starts = data.lanes.flatMap((lane) => {
  const at = lane.weight.findIndex((weight) => weight > 0);
  return at < 0 ? [] : [lane.from + at];
});
if (charts.length) show(starts.length ? Math.min(...starts) : 0);
