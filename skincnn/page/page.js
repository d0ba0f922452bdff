// The page: photographs in, cards out. No framework, no request to anywhere but this service.

const $ = (id) => document.getElementById(id);
const AT_ONCE = 3; // requests under way
const FIRST = 4; // classes shown at once
const SIGNS = {
  benign: ["benign", "✓", "Looks benign"],
  malignant: ["malignant", "!", "Looks malignant"],
  "not sure": ["unsure", "?", "Not sure"],
  "not a lesion": ["other", "–", "Not a lesion"],
};
const GONE = "The service does not answer. Is it still running? Your photographs are still here: "
  + "start it, then try them again.";

let limits = { file_bytes: 20 * 2 ** 20 };
let key = ""; // in memory only
let threshold = null;
const waiting = [];
let under_way = 0;

// --- asking the service ----------------------------------------------------

class Problem extends Error {
  constructor(sentence, { again = false, gone = false } = {}) {
    super(sentence);
    this.again = again; // worth another try
    this.gone = gone;
  }
}

async function ask(path, options = {}, tries = 4) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "omit" });
  } catch {
    throw new Problem("The service does not answer.", { again: true, gone: true });
  }
  $("alarm").hidden = true;
  if (response.ok) return response;
  if (response.status === 503 && tries > 1) {
    const seconds = Math.min(Number(response.headers.get("Retry-After")) || 2, 10);
    await new Promise((done) => setTimeout(done, seconds * 1000));
    return ask(path, options, tries - 1);
  }
  if (response.status === 401 && (await unlocked())) return ask(path, options, tries);
  const told = await response.json().catch(() => ({}));
  throw new Problem(told.error || `The service answered ${response.status}.`, {
    again: response.status >= 500 || response.status === 401,
  });
}

let asking_for_key = null;

function unlocked() {
  asking_for_key ??= new Promise((done) => {
    const dialog = $("locked");
    $("key-form").onsubmit = (event) => {
      event.preventDefault();
      key = $("key").value.trim();
      dialog.close("given");
    };
    $("key-cancel").onclick = () => dialog.close("");
    dialog.onclose = () => {
      asking_for_key = null;
      done(dialog.returnValue === "given");
    };
    dialog.returnValue = "";
    $("key").value = "";
    dialog.showModal();
  });
  return asking_for_key;
}

function form(file) {
  const body = new FormData();
  body.append("photographs", file, file.name);
  return { method: "POST", body };
}

// --- photographs -----------------------------------------------------------

function add(files) {
  const some = [...files];
  if (!some.length) return;
  const cards = some.map(carded);
  waiting.push(...cards);
  $("cards").prepend(...cards);
  tally();
  say(some.length === 1 ? `Asking about ${some[0].name}` : `Asking about ${some.length} photographs`);
  next();
}

function next() {
  while (under_way < AT_ONCE && waiting.length) {
    const card = waiting.shift();
    if (!card.isConnected) continue; // removed before its turn
    under_way += 1;
    answer(card).finally(() => {
      under_way -= 1;
      next();
    });
  }
}

async function answer(card) {
  const { file } = card;
  card.className = "card";
  card.setAttribute("aria-busy", "true");
  part(card, "word").textContent = "Asking the network …";
  part(card, "sentence").textContent = "";
  part(card, "again").hidden = true;
  try {
    if (file.size > limits.file_bytes) {
      const most = Math.round(limits.file_bytes / 2 ** 20);
      throw new Problem(`The file is larger than ${most} MB.`);
    }
    const told = await (await ask("/api/classify", form(file))).json();
    show(card, told.photographs[0]);
  } catch (error) {
    fail(card, error);
  }
  card.setAttribute("aria-busy", "false");
}

function carded(file) {
  const card = $("card").content.cloneNode(true).firstElementChild;
  card.file = file;
  const id = `file-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  part(card, "file").textContent = file.name;
  part(card, "file").id = id;
  card.setAttribute("aria-labelledby", id);
  part(card, "remove").setAttribute("aria-label", `Remove ${file.name}`);
  part(card, "remove").onclick = () => remove(card);
  part(card, "again").onclick = () => {
    waiting.push(card);
    next();
  };
  part(card, "look").onclick = () => look(card);
  const picture = part(card, "picture");
  picture.alt = `The photograph ${file.name}`;
  picture.onload = () => (picture.hidden = false);
  picture.onerror = () => (part(card, "blank").hidden = false); // TIFF, say
  picture.src = card.address = URL.createObjectURL(file);
  return card;
}

function remove(card) {
  const beside = card.nextElementSibling ?? card.previousElementSibling;
  URL.revokeObjectURL(card.address);
  if (card.map) URL.revokeObjectURL(card.map);
  card.remove();
  tally();
  (beside ? part(beside, "remove") : $("answers")).focus();
}

// --- answers ---------------------------------------------------------------

function show(card, told) {
  const [tone, sign, word] = SIGNS[told.answer] ?? ["other", "•", capital(told.answer)];
  card.classList.add(tone);
  part(card, "sign").textContent = sign;
  part(card, "word").textContent = word;
  part(card, "sentence").textContent = told.sentence;
  const lesion = told.answer !== "not a lesion";
  part(card, "look").hidden = !lesion;
  if (lesion && told.malignant !== null) risk(card, told);
  if (lesion) bars(card, told);
  const share = told.malignant === null ? "" : `, probability of malignancy ${percent(told.malignant)}`;
  say(`${card.file.name}: ${word}${lesion ? share : ""}`);
}

function fail(card, error) {
  card.classList.add("failed");
  part(card, "sign").textContent = "×";
  part(card, "word").textContent = "No answer";
  part(card, "sentence").textContent = error.message;
  part(card, "again").hidden = !error.again;
  part(card, "again").setAttribute("aria-label", `Try ${card.file.name} again`);
  if (error.gone) alarm(GONE);
  say(`${card.file.name}: no answer. ${error.message}`);
}

function risk(card, told) {
  part(card, "risk").hidden = false;
  part(card, "figure").textContent = percent(told.malignant);
  part(card, "point").style.left = `${100 * told.malignant}%`;
  const words = [];
  if (told.interval) {
    const [low, high] = told.interval;
    part(card, "band").style.left = `${100 * low}%`;
    part(card, "band").style.width = `${100 * (high - low)}%`;
    words.push(`Band: ${percent(low)} to ${percent(high)} of such photographs were malignant.`);
  }
  part(card, "band").hidden = !told.interval;
  part(card, "from").hidden = threshold === null;
  if (threshold !== null) {
    part(card, "from").style.left = `${100 * threshold}%`;
    words.push(`Line: called malignant from ${percent(threshold)}.`);
  }
  part(card, "range").textContent = words.join(" ");
}

function bars(card, told) {
  const sorted = Object.entries(told.probabilities).sort((a, b) => b[1] - a[1]);
  const rows = sorted.map(([name, share]) => {
    const row = document.createElement("li");
    const [label, full, bar, figure] = ["span", "span", "span", "b"].map((tag) => document.createElement(tag));
    label.textContent = name;
    full.className = "full";
    bar.className = "part";
    bar.style.width = `${100 * share}%`;
    figure.textContent = percent(share);
    full.append(bar);
    row.append(label, full, figure);
    row.classList.toggle("first", name === told.label);
    return row;
  });
  const shown = rows.length > FIRST + 1 ? FIRST : rows.length; // one more needs no fold
  const more = part(card, "more");
  part(card, "classes").querySelector("ul").replaceChildren(...rows.slice(0, shown));
  more.querySelector("ul").replaceChildren(...rows.slice(shown));
  more.querySelector("summary").textContent = `${rows.length - shown} less probable ones`;
  more.hidden = shown === rows.length;
  part(card, "classes").hidden = false;
}

async function look(card) {
  const button = part(card, "look");
  if (!card.map) {
    button.disabled = true;
    button.textContent = "Trying it with parts hidden …";
    part(card, "trouble").textContent = "";
    try {
      const overlay = await ask("/api/occlusion", form(card.file));
      card.map = URL.createObjectURL(await overlay.blob());
      part(card, "overlay").src = card.map;
      part(card, "overlay").alt = "Overlay: bright where hiding a part changes the answer most";
    } catch (error) {
      if (error.gone) alarm(GONE);
      say(error.message);
      part(card, "trouble").textContent = error.message;
      return;
    } finally {
      button.disabled = false;
      button.textContent = "Show what matters";
    }
  }
  const shown = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(shown));
  part(card, "overlay").hidden = part(card, "legend").hidden = !shown;
}

// --- small things ----------------------------------------------------------

function part(card, name) {
  return card.querySelector(`.${name}`);
}

function percent(share) {
  if (share > 0 && share < 0.005) return "< 1 %";
  if (share < 1 && share >= 0.995) return "> 99 %";
  return `${Math.round(100 * share)} %`;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function say(text) {
  $("said").textContent = text;
}

function alarm(text) {
  $("alarm").textContent = text;
  $("alarm").hidden = false;
}

function tally() {
  const cards = $("cards").childElementCount;
  $("tally").textContent = cards ? `${cards} photograph${cards > 1 ? "s" : ""}` : "None yet";
  $("empty").hidden = cards > 0;
  $("clear").hidden = cards === 0;
}

async function introduce() {
  try {
    const model = await (await ask("/api/model")).json();
    limits = model.limits;
    threshold = model.malignant_from;
    const words = [`Model ${model.name}, ${model.classes.length} classes, version ${model.version}.`];
    const right = model.source.balanced_accuracy;
    if (right) {
      words.push(`Held-out photographs of ${model.source.data}: balanced accuracy ${percent(right.value)} `
        + `(${percent(right.low)} to ${percent(right.high)}).`);
    }
    if (model.licence) words.push(`Licence of the photographs it learned from: ${model.licence}.`);
    $("model").textContent = `${words.join(" ")} ${model.notice}`;
  } catch (error) {
    $("model").textContent = "The model could not be asked about itself.";
    alarm(error.gone ? GONE : error.message);
  }
}

// --- ways in ---------------------------------------------------------------

for (const id of ["pick", "camera"]) {
  $(id).addEventListener("change", ({ target }) => {
    add(target.files);
    target.value = ""; // so that the same one can be picked again
  });
}
let entered = 0; // a drag enters and leaves each element it passes over
addEventListener("dragenter", () => $("drop").classList.toggle("over", ++entered > 0));
addEventListener("dragleave", () => $("drop").classList.toggle("over", --entered > 0));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault(); // else the browser leaves the page to show the file
  entered = 0;
  $("drop").classList.remove("over");
  add(event.dataTransfer.files);
});
addEventListener("paste", (event) => add(event.clipboardData.files));
$("clear").addEventListener("click", () => {
  for (const card of [...$("cards").children]) remove(card);
});

introduce();
