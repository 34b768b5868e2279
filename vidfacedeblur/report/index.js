// The index of an archive. It reads the JSON in #data, and makes only the rows that are shown.
"use strict";

const { states, files } = JSON.parse(document.getElementById("data").textContent);
const [NAME, STATE, FRAMES, FACES, DEBLURRED, SECONDS, FPS, ATTEMPTS, ERROR, PAGE, OUTPUT] =
  Array(11).keys();
const NUMBERS = [FRAMES, FACES, DEBLURRED, SECONDS, FPS, ATTEMPTS];
const ROWS = 100;

const body = document.querySelector(".files tbody");
const heads = [...document.querySelectorAll(".files thead button")];
const search = document.getElementById("search");
const back = document.getElementById("back");
const next = document.getElementById("next");
const labels = heads.map((head) => head.textContent);
const compare = new Intl.Collator("en", { numeric: true, sensitivity: "base" }).compare;
const view = { column: STATE, down: false, first: 0, rows: [] };

// Rows that are asked for, in the order that is asked for; equal ones stay as they came.
function choose() {
  const words = search.value.toLowerCase().split(" ").filter(Boolean);
  const state = states.indexOf(document.querySelector("[name=state]:checked").value);
  const fits = (file) => {
    if (state >= 0 && file[STATE] !== state) return false;
    if (!words.length) return true;
    const text = `${file[NAME]} ${file[ERROR] || ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const { column, down } = view;
  const order = column === NAME ? compare : (a, b) => a - b;
  view.rows = files.filter(fits).sort((a, b) => (down ? -1 : 1) * order(a[column], b[column]));
  view.first = 0;
  show();
}

function element(kind, text, role) {
  const made = document.createElement(kind);
  made.textContent = text;
  if (role) made.setAttribute("role", role);
  return made;
}

function link(text, target) {
  const made = element("a", text);
  made.href = target;
  return made;
}

function nameCell(file) {
  const cell = element("th", "", "rowheader");
  cell.scope = "row";
  const name = element("bdi", file[PAGE] ? "" : file[NAME]);
  if (file[PAGE]) name.append(link(file[NAME], file[PAGE]));
  cell.append(name);
  if (file[ERROR]) {
    const why = element("span", file[ERROR]);
    why.className = "why";
    cell.append(why);
  }
  return cell;
}

function shown(value, column) {
  const digits = column === SECONDS || column === FPS ? 1 : 0;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function rowOf(file) {
  const row = element("tr", "", "row");
  const state = element("td", "", "cell");
  const badge = element("span", states[file[STATE]]);
  badge.className = `state ${states[file[STATE]]}`;
  state.append(badge);
  row.append(nameCell(file), state);
  for (const column of NUMBERS) {
    const cell = element("td", shown(file[column], column), "cell");
    cell.dataset.label = labels[column];
    row.append(cell);
  }
  const open = element("td", "", "cell");
  open.className = "open";
  if (file[OUTPUT]) {
    const made = link("open", file[OUTPUT]);
    made.setAttribute("aria-label", `open the output of ${file[NAME]}`);
    open.append(made);
  }
  row.append(open);
  return row;
}

function show() {
  const { rows, first } = view;
  const last = Math.min(first + ROWS, rows.length);
  body.replaceChildren(...rows.slice(first, last).map(rowOf));
  const of = rows.length.toLocaleString("en");
  document.getElementById("count").textContent = !rows.length
    ? "No file fits."
    : rows.length <= ROWS
      ? `${of} ${rows.length === 1 ? "file" : "files"}`
      : `${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${of} files`;
  // Not disabled: a button that vanishes under the finger takes the focus with it.
  back.setAttribute("aria-disabled", first === 0);
  next.setAttribute("aria-disabled", last === rows.length);
  for (const head of heads) {
    const mine = Number(head.dataset.column) === view.column;
    const order = view.down ? "descending" : "ascending";
    head.parentElement.setAttribute("aria-sort", mine ? order : "none");
  }
}

function turn(by) {
  const to = view.first + by * ROWS;
  if (to < 0 || to >= view.rows.length) return;
  view.first = to;
  show();
}

if (body) {
  for (const head of heads) {
    head.addEventListener("click", () => {
      const column = Number(head.dataset.column);
      // Numbers begin with the highest: that is what one looks for.
      view.down = column === view.column ? !view.down : NUMBERS.includes(column);
      view.column = column;
      choose();
    });
  }
  document.querySelector(".find").addEventListener("submit", (event) => event.preventDefault());
  document.querySelector(".find").addEventListener("input", choose);
  back.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  choose();
}
