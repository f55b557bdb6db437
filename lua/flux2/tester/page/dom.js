// DOM elements and number formatting. External data is inserted as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
    for (const [name, value] of Object.entries(properties || {})) {
        if (value === null || value === undefined || value === false) continue;
        if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
        else if (element instanceof HTMLElement && name in element && typeof value !== "string") element[name] = value;
        else element.setAttribute(name, value === true ? "" : String(value));
    }
    element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
}

// h("p", { class: "rule" }, "text", otherElement)
export function h(tag, properties, ...children) {
    return fill(document.createElement(tag), properties, children);
}

export function svg(tag, properties, ...children) {
    return fill(document.createElementNS(SVG, tag), properties, children);
}

export const byId = (id) => document.getElementById(id);

// Lua cannot distinguish an empty array from an empty object: an empty list is null or an object.
export const list = (value) => (Array.isArray(value) ? value : []);

export function seconds(n) {
    if (typeof n !== "number") return "";
    return n < 10 ? `${n.toFixed(2)} s` : `${n.toFixed(1)} s`;
}

export function bytes(n) {
    if (typeof n !== "number") return "";
    if (n < 1024) return `${n} bytes`;
    if (n < 1024 * 1024) return `${(n / 1024).toFixed(0)} KB`;
    return `${(n / 1024 / 1024).toFixed(1)} MB`;
}

export function credits(n) {
    return n === 1 ? "1 credit" : `${n} credits`;
}

// Indents JSON; returns other text unchanged.
export function pretty(text) {
    try {
        return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
        return text;
    }
}

// Copies to the clipboard, by a selection if the browser denies access. Returns whether it succeeded.
export async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {
        const area = h("textarea", { class: "visually-hidden", "aria-hidden": "true" });
        area.value = text;
        document.body.append(area);
        area.select();
        const done = document.execCommand("copy");
        area.remove();
        return done;
    }
}

// Makes the button copy the result of `text()` and show a confirmation.
export function wireCopy(button, text, announce) {
    const label = button.textContent;
    let timer;
    button.addEventListener("click", async () => {
        const done = await copy(text());
        button.textContent = done ? "Copied" : "Not copied";
        announce(done ? "Copied to the clipboard" : "The browser did not allow copying");
        clearTimeout(timer);
        timer = setTimeout(() => { button.textContent = label; }, 1600);
    });
}
