// The list of input image URLs with previews, which the local server downloads.

import { get } from "./api.js";
import { byId, h } from "./dom.js";

const DEBOUNCE = 500; // ms without input before the preview is requested

function isCompleteUrl(address) {
    return /^https?:\/\/[^\s/]+\.?[^\s]*$/i.test(address);
}

// Creates one row of the list.
function makeRow(owner, address) {
    const input = h("input", { type: "url", autocomplete: "off", spellcheck: "false", placeholder: "https://…" });
    const image = h("img", { alt: "", hidden: true });
    const note = h("span", { class: "thumb-note" });
    const frame = h("span", { class: "thumb" }, image, note);
    const remove = h("button", { type: "button", class: "quiet icon" }, "×");
    const error = h("p", { class: "error" });
    const row = { input, error, element: h("li", {}, frame, h("div", { class: "input-url" }, input, error), remove) };
    let timer, shown;

    async function showError(source) {
        image.hidden = true;
        try {
            await get(source);
            note.textContent = "?";
        } catch (problem) {
            if (source !== shown) return;
            note.textContent = "no preview";
            frame.title = `${problem.kind}: ${problem.message}`;
        }
    }
    function updatePreview() {
        const value = input.value.trim();
        const source = isCompleteUrl(value) ? `thumbnail?url=${encodeURIComponent(value)}` : null;
        if (source === shown) return;
        shown = source;
        image.hidden = true;
        frame.title = "";
        note.textContent = source ? "…" : "";
        if (source) image.src = source;
        else image.removeAttribute("src");
    }
    image.addEventListener("load", () => { image.hidden = false; note.textContent = ""; });
    image.addEventListener("error", () => { if (shown) showError(shown); });
    input.addEventListener("input", () => {
        clearTimeout(timer);
        timer = setTimeout(updatePreview, DEBOUNCE);
        owner.changed();
    });
    input.addEventListener("change", updatePreview);
    remove.addEventListener("click", () => owner.remove(row));
    row.name = (n) => {
        input.setAttribute("aria-label", `Image URL ${n}`);
        remove.setAttribute("aria-label", `Remove image URL ${n}`);
        error.id = `input_urls-error-${n}`;
        input.setAttribute("aria-describedby", `${error.id} input_urls-rule`);
        image.alt = `Input image ${n}`;
    };
    input.value = address || "";
    updatePreview();
    return row;
}

// Returns { value, set, showErrors }. `value` skips empty rows.
export function makeInputs(field, changed) {
    const rows = [];
    const add = byId("add-input");
    byId("input_urls-rule").textContent = `${field.meaning}. This computer downloads the previews, without the API key.`;

    function redraw() {
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
            redraw();
            (rows[at] || rows[at - 1] || { input: add }).input.focus();
        },
    };
    const push = (address) => rows.push(makeRow(owner, address));
    add.addEventListener("click", () => {
        push("");
        redraw();
        rows[rows.length - 1].input.focus();
    });
    return {
        value: () => rows.map((row) => row.input.value.trim()).filter((address) => address !== ""),
        set(addresses) {
            rows.length = 0;
            addresses.slice(0, field.max).forEach(push);
            redraw();
        },
        // Marks the rows of errors with an `index`, the place in `value` from 1. Returns the messages of the others.
        showErrors(errors) {
            const filled = rows.filter((row) => row.input.value.trim() !== "");
            for (const row of rows) {
                const own = errors.find((error) => error.index !== undefined && filled[error.index - 1] === row);
                row.error.textContent = own ? own.message : "";
                row.input.setAttribute("aria-invalid", String(Boolean(own)));
            }
            return errors.filter((error) => !filled[error.index - 1]).map((error) => error.message).join(" ");
        },
    };
}
