// The same request as curl, Lua and JSON, in tabs, copied with one click.

import { byId, h, wireCopy } from "./dom.js";

const LANGUAGES = [["curl", "curl"], ["lua", "Lua"], ["json", "JSON"]];
const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

// Returns { show(answer) } for what the module said of the form.
export function makeCode(announce) {
    const panel = byId("code");
    const tabs = LANGUAGES.map(([name, label]) => h("button", {
        type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "code",
        onclick: () => choose(name),
    }, label));
    let code = null;
    let chosen = LANGUAGES[0][0];
    let complaint = "";

    function draw() {
        panel.textContent = code ? code[chosen] : complaint;
        panel.classList.toggle("empty", !code);
        byId("copy").disabled = !code;
        tabs.forEach((tab, i) => {
            const on = LANGUAGES[i][0] === chosen;
            tab.setAttribute("aria-selected", String(on));
            tab.tabIndex = on ? 0 : -1;
        });
    }
    function choose(name) {
        chosen = name;
        draw();
    }
    byId("code-tabs").append(...tabs);
    byId("code-tabs").addEventListener("keydown", (event) => {
        const step = STEPS[event.key];
        if (!step) return;
        event.preventDefault();
        const at = LANGUAGES.findIndex(([name]) => name === chosen);
        const next = (at + step + LANGUAGES.length) % LANGUAGES.length;
        choose(LANGUAGES[next][0]);
        tabs[next].focus();
    });
    wireCopy(byId("copy"), () => code[chosen], announce);
    draw();
    return {
        show(answer) {
            code = answer.code || null;
            complaint = answer.error ? `Not a request yet: ${answer.error.message}` : "";
            draw();
        },
    };
}
