// The tasks of this session, newest first, to be opened again.

import { byId, h, list } from "./dom.js";

function tile(task, open) {
    const image = h("img", { alt: "", loading: "lazy", hidden: true });
    const mark = h("span", { class: "tile-mark" });
    const text = h("span", { class: "tile-prompt" }, task.request.prompt);
    const state = h("span", { class: "visually-hidden" });
    const button = h("button", { type: "button", class: "tile", onclick: () => open(task) }, h("span", { class: "tile-picture" }, image, mark), text, state);
    return { element: h("li", {}, button), image, mark, state, button };
}

function markOf(task) {
    if (task.alive) return "…";
    if (task.state === "cancelled") return "cancelled";
    if (task.error) return task.error.kind;
    return list(task.pictures).some((one) => one.error) ? "no picture" : "";
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
        const { image, mark, state, button } = tiles.get(task.id);
        const picture = list(task.pictures).find((one) => one.size && !one.dropped);
        if (picture && image.hidden) {
            image.src = `pictures/${task.id}/${picture.index}`;
            image.hidden = false;
        }
        mark.textContent = markOf(task);
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
