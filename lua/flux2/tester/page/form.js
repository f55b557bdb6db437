// The form: what it says, what the module says of that, and what it would cost.

import { post } from "./api.js";
import { byId, credits, h } from "./dom.js";
import { makeInputs } from "./inputs.js";
import { makeRatios } from "./ratios.js";

const SETTLED = 180; // ms without a change before the module is asked

const length = (text) => [...text].length; // code points, as the service's rule counts them

function choices(field, changed) {
    const meanings = Object.fromEntries((field.meaning.match(/\w+: [^;]+/g) || []).map((part) => part.split(": ")));
    const radios = field.allowed.map((value) => {
        const cost = h("span", { class: "price" });
        const input = h("input", { type: "radio", name: field.name, value, onchange: changed });
        input.checked = value === field.default;
        const name = h("span", { class: "choice-name" }, value);
        const meaning = meanings[value] && h("span", { class: "choice-meaning" }, meanings[value]);
        byId(`${field.name}-choices`).append(h("label", { class: "choice" }, input, name, meaning, cost));
        return { input, cost, value };
    });
    return {
        radios,
        value: () => radios.find((radio) => radio.input.checked).value,
        set: (value) => { for (const radio of radios) radio.input.checked = radio.value === value; },
    };
}

// What to call a price that the service does not publish.
const priced = (price) => (price === undefined ? "price not published" : `about ${credits(price)}`);

export function makeForm(about, heard) {
    const field = Object.fromEntries(about.fields.map((one) => [one.name, one]));
    const prompt = byId("prompt");
    const touched = new Set();
    let timer, asked = 0;

    const price = (type, resolution) =>
        about.prices.find((one) => one.type === type && one.resolution === resolution).credits;

    function showCount() {
        const n = length(prompt.value);
        const count = byId("prompt-count");
        count.textContent = `${n} / ${field.prompt.max}`;
        count.classList.toggle("over", n > field.prompt.max);
    }
    function showPrices() {
        for (const { value, cost } of type.radios) cost.textContent = priced(price(value, resolution.value()));
        for (const { value, cost } of resolution.radios) cost.textContent = priced(price(type.value(), value));
        byId("cost").textContent = priced(price(type.value(), resolution.value()));
    }
    function showError(error) {
        const all = ["prompt", "aspect_ratio", "type", "resolution", "input_urls"];
        for (const name of all) {
            const mine = error && error.field === name && touched.has(name) ? error.message : "";
            const inRow = name === "input_urls" && inputs.showError(mine, error && error.index);
            byId(`${name}-error`).textContent = inRow ? "" : mine;
        }
        const wrong = (name) => String(Boolean(error && error.field === name && touched.has(name)));
        prompt.setAttribute("aria-invalid", wrong("prompt"));
        byId("ratio-other").setAttribute("aria-invalid", wrong("aspect_ratio"));
    }
    // Asks the module; only the answer to the latest question counts.
    async function check() {
        const number = ++asked;
        let answer;
        try {
            answer = await post("check", { request: form.request() });
        } catch (error) {
            answer = { error };
        }
        if (number !== asked) return null;
        showError(answer.error);
        heard(answer);
        return answer;
    }
    const changed = (name) => () => {
        if (name) touched.add(name);
        showCount();
        showPrices();
        clearTimeout(timer);
        timer = setTimeout(check, SETTLED);
    };

    const type = choices(field.type, () => changed("type")());
    const resolution = choices(field.resolution, () => changed("resolution")());
    const ratios = makeRatios(field.aspect_ratio, () => changed("aspect_ratio")());
    const inputs = makeInputs(field.input_urls, () => changed("input_urls")());
    byId("prompt-rule").textContent = field.prompt.meaning.replace(/^[^:]*: /, "").replace(/^./, (c) => c.toUpperCase());
    // Half a word is not a mistake yet: the prompt is judged once it was left, or was long enough before.
    prompt.addEventListener("input", () => changed(length(prompt.value) >= field.prompt.min ? "prompt" : null)());
    prompt.addEventListener("change", () => changed("prompt")());

    const form = {
        request() {
            const request = {
                prompt: prompt.value, aspect_ratio: ratios.value(), type: type.value(), resolution: resolution.value(),
            };
            const addresses = inputs.value();
            if (addresses.length > 0) request.input_urls = addresses;
            return request;
        },
        fill(request) {
            prompt.value = request.prompt;
            ratios.set(request.aspect_ratio || field.aspect_ratio.default);
            type.set(request.type || field.type.default);
            resolution.set(request.resolution || field.resolution.default);
            inputs.set(request.input_urls || []);
            changed("prompt")();
        },
        // Asks once more, now with every field in mind; true if there is nothing to complain of.
        async approve() {
            for (const name of Object.keys(field)) touched.add(name);
            clearTimeout(timer);
            const answer = await check();
            if (!answer) return false;
            if (!answer.error) return true;
            form.show(answer.error);
            return false;
        },
        show(error) {
            showError(error);
            const at = document.querySelector('#form [aria-invalid="true"]') || document.querySelector("#form .error:not(:empty)");
            if (at) at.focus();
        },
    };
    changed()();
    return form;
}
