// The aspect ratio: common ratios and a text field, because the service publishes no complete list.

import { byId, h, svg } from "./dom.js";

const RATIOS = ["1:1", "4:3", "3:2", "16:9", "21:9", "3:4", "2:3", "9:16"];
const BOX = 29;

// Returns [width, height] or null.
export function parseRatio(text) {
    const match = /^([1-9]\d{0,3}):([1-9]\d{0,3})$/.exec(text);
    return match && [Number(match[1]), Number(match[2])];
}

function ratioIcon(ratio) {
    const [width, height] = parseRatio(ratio);
    const scale = BOX / Math.max(width, height);
    const [w, t] = [width * scale, height * scale];
    const rect = { x: (32 - w) / 2, y: (32 - t) / 2, width: w, height: t, rx: 2 };
    return svg("svg", { viewBox: "0 0 32 32", "aria-hidden": "true" }, svg("rect", rect));
}

function choice(ratio, changed) {
    const input = h("input", { type: "radio", name: "ratio", value: ratio, onchange: () => {
        byId("ratio-other").value = "";
        changed();
    } });
    return h("label", { class: "ratio" }, input, ratioIcon(ratio), h("span", {}, ratio));
}

// Returns { value, set }.
export function makeRatios(field, changed) {
    const other = byId("ratio-other");
    byId("ratios").append(...RATIOS.map((ratio) => choice(ratio, changed)));
    const radios = [...document.querySelectorAll("input[name=ratio]")];
    byId("aspect_ratio-rule").textContent = `${field.meaning.replace(/^./, (c) => c.toUpperCase())}; ${field.default} by default.`;
    const choose = (ratio) => { for (const radio of radios) radio.checked = radio.value === ratio; };
    other.addEventListener("input", () => {
        choose(other.value.trim() || field.default);
        changed();
    });
    choose(field.default);
    return {
        value: () => other.value.trim() || (radios.find((radio) => radio.checked) || { value: field.default }).value,
        set(ratio) {
            choose(ratio);
            other.value = RATIOS.includes(ratio) ? "" : ratio;
        },
    };
}
