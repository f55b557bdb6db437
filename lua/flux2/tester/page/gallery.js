// The list of the session's tasks, newest first.

import { byId, h, list } from "./dom.js";

function tile(task, open) {
    const thumbnail = h("img", { alt: "", loading: "lazy", hidden: true });
    const mark = h("span", { class: "tile-mark" });
    const text = h("span", { class: "tile-prompt" }, task.request.prompt);
    const state = h("span", { class: "visually-hidden" });
    const button = h("button", { type: "button", class: "tile", onclick: () => open(task) }, h("span", { class: "tile-image" }, thumbnail, mark), text, state);
    return { element: h("li", {}, button), thumbnail, mark, state, button };
}

function badgeText(task) {
    if (task.running) return "…";
    if (task.state === "cancelled") return "cancelled";
    if (task.error) return task.error.kind;
    return list(task.images).some((one) => one.error) ? "no image" : "";
}

// Returns { draw(task), select(task) }.
export function makeGallery(open) {
    const tiles = new Map();
    function draw(task) {
        byId("gallery").hidden = false;
        if (!tiles.has(task.id)) {
            tiles.set(task.id, tile(task, open));
            byId("gallery-list").prepend(tiles.get(task.id).element);
        }
        const { thumbnail, mark, state, button } = tiles.get(task.id);
        const image = list(task.images).find((one) => one.size && !one.dropped);
        if (image && thumbnail.hidden) {
            thumbnail.src = `images/${task.id}/${image.index}`;
            thumbnail.hidden = false;
        }
        mark.textContent = badgeText(task);
        state.textContent = ` (${{ succeeded: "finished", submitting: "running" }[task.state] || task.state})`;
        button.dataset.state = task.state;
    }
    function select(task) {
        for (const [id, { button }] of tiles) {
            if (id === task.id) button.setAttribute("aria-current", "true");
            else button.removeAttribute("aria-current");
        }
    }
    return { draw, select };
}
