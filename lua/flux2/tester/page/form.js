// The request form with validation and prices.

import { post } from "./api.js";
import { byId, credits, h, list } from "./dom.js";
import { makeInputs } from "./inputs.js";
import { makeRatios } from "./ratios.js";

const DEBOUNCE = 180; // ms without a change before validation

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
        set(value) {
            if (!field.allowed.includes(value)) return;
            for (const radio of radios) radio.input.checked = radio.value === value;
        },
    };
}

// Formats a price; undefined if the service does not publish it.
const priced = (price) => (price === undefined ? "price not published" : `about ${credits(price)}`);

// The form survives a reload in the storage of this tab, which a browser may deny.
const STORE = "request";

function keep(request) {
    try {
        sessionStorage.setItem(STORE, JSON.stringify(request));
    } catch { /* the form is lost with a reload */ }
}

function kept() {
    try {
        return JSON.parse(sessionStorage.getItem(STORE)) || {};
    } catch {
        return {};
    }
}

export function makeForm(about, onResult) {
    const field = Object.fromEntries(about.fields.map((one) => [one.name, one]));
    const prompt = byId("prompt");
    const touched = new Set();
    let timer, checks = 0;

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
    // Marks every invalid field that the user has changed, or all of them after Send.
    function showErrors(errors) {
        const shown = errors.filter((error) => touched.has(error.field));
        const of = (name) => shown.filter((error) => error.field === name);
        for (const name of ["prompt", "aspect_ratio", "type", "resolution"]) {
            byId(`${name}-error`).textContent = of(name).map((error) => error.message).join(" ");
        }
        byId("input_urls-error").textContent = inputs.showErrors(of("input_urls"));
        prompt.setAttribute("aria-invalid", String(of("prompt").length > 0));
        byId("ratio-other").setAttribute("aria-invalid", String(of("aspect_ratio").length > 0));
    }
    // Validates the form on the server. Ignores all results but the latest.
    async function check() {
        const number = ++checks;
        let result;
        try {
            result = await post("check", { request: form.request() });
        } catch (error) {
            result = { error, errors: [error] };
        }
        if (number !== checks) return null;
        showErrors(list(result.errors));
        onResult(result);
        return result;
    }
    const changed = (name) => () => {
        if (name) touched.add(name);
        showCount();
        showPrices();
        keep(form.request());
        clearTimeout(timer);
        timer = setTimeout(check, DEBOUNCE);
    };

    const type = choices(field.type, () => changed("type")());
    const resolution = choices(field.resolution, () => changed("resolution")());
    const ratios = makeRatios(field.aspect_ratio, () => changed("aspect_ratio")());
    const inputs = makeInputs(field.input_urls, () => changed("input_urls")());
    byId("prompt-rule").textContent = field.prompt.meaning.replace(/^[^:]*: /, "").replace(/^./, (c) => c.toUpperCase());
    // A prompt that is too short is reported when the field loses focus, not while typing.
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
            form.set(request);
            changed("prompt")();
        },
        set(request) {
            prompt.value = request.prompt || "";
            ratios.set(request.aspect_ratio || field.aspect_ratio.default);
            type.set(request.type || field.type.default);
            resolution.set(request.resolution || field.resolution.default);
            inputs.set(request.input_urls || []);
        },
        // Validates all fields. Returns whether the request is valid.
        async validate() {
            for (const name of Object.keys(field)) touched.add(name);
            clearTimeout(timer);
            const result = await check();
            if (!result) return false;
            if (!result.error) return true;
            const at = document.querySelector('#form [aria-invalid="true"]') || document.querySelector("#form .error:not(:empty)");
            if (at) at.focus();
            return false;
        },
    };
    form.set(kept());
    changed(prompt.value === "" ? null : "prompt")();
    return form;
}
