// Shows /openapi.json: what each address takes, gives and refuses.

const element = (tag, text = "", ...inside) => {
  const made = document.createElement(tag);
  made.append(text, ...inside);
  return made;
};

const shown = (content) =>
  Object.entries(content ?? {}).flatMap(([kind, { schema }]) => [
    element("h4", kind),
    element("pre", JSON.stringify(schema, null, 2)),
  ]);

// What to type; a photograph in base64 needs a shell's help.
function example(method, path, takes) {
  const address = location.origin + path;
  if (takes?.["application/json"]) {
    const body = `'{"instances": [{"b64": "'$(base64 -w0 photo.jpg)'"}]}'`;
    return `curl ${address} -H 'Content-Type: application/json' -d ${body}`;
  }
  if (takes) return `curl ${address} -F photographs=@photo.jpg${path.includes("occlusion") ? " -o overlay.png" : ""}`;
  return `curl ${address}`;
}

function described(method, path, about) {
  const takes = about.requestBody?.content;
  const { 200: good, ...others } = about.responses;
  const refused = element("table");
  for (const [code, { description }] of Object.entries(others)) {
    refused.append(element("tr", "", element("td", code), element("td", description)));
  }
  const inside = element("div", "", element("h4", "Try it"), element("pre", example(method, path, takes)));
  inside.className = "inside";
  if (takes) inside.append(element("h4", "Takes"), ...shown(takes));
  inside.append(element("h4", "Gives"), ...shown(good?.content), element("h4", "Refuses"), refused);
  const summary = element("summary", "", element("b", method.toUpperCase()), element("code", path));
  summary.append(element("span", about.summary ?? ""));
  return element("details", "", summary, inside);
}

try {
  const api = await (await fetch("/openapi.json")).json();
  document.getElementById("notice").textContent = api.info.description;
  const groups = {};
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, about] of Object.entries(methods)) {
      (groups[about.tags?.[0] ?? "other"] ??= []).push(described(method, path, about));
    }
  }
  for (const [name, several] of Object.entries(groups)) {
    document.getElementById("groups").append(element("h2", name), ...several);
  }
} catch {
  document.getElementById("groups").append(element("p", "The service does not answer."));
}
