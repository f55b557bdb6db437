// The request as curl command, Lua program and JSON, in tabs with a copy button.

import { byId, h, wireCopy } from "./dom.js";

const LANGUAGES = [["curl", "curl"], ["lua", "Lua"], ["json", "JSON"]];
const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

// Returns { show(result) }, which takes the result of the check.
export function makeCodePanel(announce) {
    const panel = byId("code");
    const tabs = LANGUAGES.map(([name, label]) => h("button", {
        type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "code",
        onclick: () => choose(name),
    }, label));
    let code = null;
    let chosen = LANGUAGES[0][0];
    let errorText = "";

    function draw() {
        panel.textContent = code ? code[chosen] : errorText;
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
        show(result) {
            code = result.code || null;
            errorText = result.error ? `Not a valid request yet: ${result.error.message}` : "";
            draw();
        },
    };
}
