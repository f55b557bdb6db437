// The view of an error: kind, message, meaning and advice.

import { h, pretty, seconds } from "./dom.js";

function facts(error) {
    const rows = [
        ["HTTP status", error.status], ["Code", error.code], ["Type", error.type],
        ["Field", error.field], ["Task", error.task_id], ["Request", error.request_id],
        ["Attempts", error.attempts > 1 ? error.attempts : null],
        ["Retry after", error.retry_after === undefined ? null : seconds(error.retry_after)],
    ].filter(([, value]) => value !== undefined && value !== null);
    return rows.length > 0 && h("dl", { class: "facts" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
}

export function failureCard(error, ...actions) {
    return h("div", { class: "failure" },
        h("h3", {}, h("code", { class: "kind" }, error.kind), error.meaning || "unknown error"),
        h("p", { class: "failure-message" }, error.message),
        error.advice && h("p", { class: "advice" }, h("strong", {}, "What to do: "), error.advice),
        facts(error),
        error.raw && h("details", {}, h("summary", {}, "Response of the service"), h("pre", { tabindex: "0" }, pretty(error.raw))),
        actions.length > 0 && h("div", { class: "actions" }, actions));
}
