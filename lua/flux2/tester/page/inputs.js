// Input images: up to eight URLs, each with a view of what is behind it, brought here by the local server.

import { get } from "./api.js";
import { byId, h } from "./dom.js";

const SETTLED = 500; // ms without a keystroke before an address is looked up

function looksWhole(address) {
    return /^https?:\/\/[^\s/]+\.?[^\s]*$/i.test(address);
}

// Makes one row of the list.
function makeRow(owner, address) {
    const input = h("input", { type: "url", autocomplete: "off", spellcheck: "false", placeholder: "https://…" });
    const picture = h("img", { alt: "", hidden: true });
    const said = h("span", { class: "thumb-note" });
    const frame = h("span", { class: "thumb" }, picture, said);
    const remove = h("button", { type: "button", class: "quiet icon" }, "×");
    const error = h("p", { class: "error" });
    const row = { input, error, element: h("li", {}, frame, h("div", { class: "input-url" }, input, error), remove) };
    let timer, shown;

    async function explain(source) {
        picture.hidden = true;
        try {
            await get(source);
            said.textContent = "?";
        } catch (problem) {
            if (source !== shown) return;
            said.textContent = "no view";
            frame.title = `${problem.kind}: ${problem.message}`;
        }
    }
    function look() {
        const value = input.value.trim();
        const source = looksWhole(value) ? `thumbnail?url=${encodeURIComponent(value)}` : null;
        if (source === shown) return;
        shown = source;
        picture.hidden = true;
        frame.title = "";
        said.textContent = source ? "…" : "";
        if (source) picture.src = source;
        else picture.removeAttribute("src");
    }
    picture.addEventListener("load", () => { picture.hidden = false; said.textContent = ""; });
    picture.addEventListener("error", () => { if (shown) explain(shown); });
    input.addEventListener("input", () => {
        clearTimeout(timer);
        timer = setTimeout(look, SETTLED);
        owner.changed();
    });
    input.addEventListener("change", look);
    remove.addEventListener("click", () => owner.remove(row));
    row.name = (n) => {
        input.setAttribute("aria-label", `Image URL ${n}`);
        remove.setAttribute("aria-label", `Remove image URL ${n}`);
        error.id = `input_urls-error-${n}`;
        input.setAttribute("aria-describedby", `${error.id} input_urls-rule`);
        picture.alt = `Input image ${n}`;
    };
    input.value = address || "";
    look();
    return row;
}

// Returns { value, set, showError }: value skips rows that are empty.
export function makeInputs(field, changed) {
    const rows = [];
    const add = byId("add-input");
    byId("input_urls-rule").textContent = `${field.meaning}. Views are fetched by this machine, without the key.`;

    function settle() {
        byId("inputs").replaceChildren(...rows.map((row) => row.element));
        rows.forEach((row, i) => row.name(i + 1));
        add.disabled = rows.length >= field.max;
        add.textContent = add.disabled ? `${field.max} of ${field.max} URLs` : "Add an image URL";
        changed();
    }
    const owner = {
        changed,
        remove(row) {
            const at = rows.indexOf(row);
            rows.splice(at, 1);
            settle();
            (rows[at] || rows[at - 1] || { input: add }).input.focus();
        },
    };
    const push = (address) => rows.push(makeRow(owner, address));
    add.addEventListener("click", () => {
        push("");
        settle();
        rows[rows.length - 1].input.focus();
    });
    return {
        value: () => rows.map((row) => row.input.value.trim()).filter((address) => address !== ""),
        set(addresses) {
            rows.length = 0;
            addresses.slice(0, field.max).forEach(push);
            settle();
        },
        // The place in `value` says which row is meant.
        showError(message, place) {
            const filled = rows.filter((row) => row.input.value.trim() !== "");
            rows.forEach((row) => {
                const hit = message && place !== undefined && filled[place - 1] === row;
                row.error.textContent = hit ? message : "";
                row.input.setAttribute("aria-invalid", hit ? "true" : "false");
            });
            return Boolean(message && filled[place - 1]);
        },
    };
}
