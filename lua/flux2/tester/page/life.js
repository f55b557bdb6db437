// One task: its picture, how far it is, and everything that happened on the way.

import { bytes, credits, h, list, pretty, seconds } from "./dom.js";
import { failureCard } from "./failure.js";
import { parseRatio } from "./ratios.js";

const BAD_HTTP = 400;

const file = (task, picture) => `pictures/${task.id}/${picture.index}`;

function fileName(task, picture) {
    const words = task.request.prompt.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40);
    const ending = (picture.content_type || "image/png").split("/")[1];
    return `${words || "picture"}.${ending}`;
}

// --- what happened ----------------------------------------------------------------------------------------------------

function raw(body, size) {
    if (!body) return null;
    const cut = size > body.length ? `, the first ${bytes(body.length)} of ${bytes(size)}` : "";
    return h("details", {}, h("summary", {}, `Raw answer${cut}`), h("pre", { tabindex: "0" }, pretty(body)));
}

function exchangeLine(event) {
    const name = event.what === "poll" ? `Poll ${event.number}` : event.number > 1 ? `Submission, attempt ${event.number}` : "Submission";
    const bad = event.failure || event.http_status >= BAD_HTTP;
    const parts = [];
    if (event.failure) parts.push(event.message || event.failure);
    else if (!bad && event.status) parts.push(event.status);
    if (!bad && event.progress !== undefined) parts.push(`${Math.round(event.progress * 100)} %`);
    if (event.retry_after !== undefined) parts.push(`asks to wait ${seconds(event.retry_after)}`);
    if (event.pause !== undefined) parts.push(`again in ${seconds(event.pause)}`);
    return {
        tone: bad ? "bad" : "good", name, chip: event.http_status ? `HTTP ${event.http_status}` : event.failure,
        text: parts.join(" · "), more: raw(event.body, event.size),
    };
}

const LINES = {
    submitted: () => ({ tone: "plain", name: "Submitted", text: "handed to the client, which checked it" }),
    exchange: exchangeLine,
    resumed: () => ({ tone: "plain", name: "Waiting again", text: "polling was taken up again" }),
    ended: (event) => ({
        tone: event.state === "succeeded" ? "done" : "bad", name: { succeeded: "Finished", failed: "Failed", cancelled: "Cancelled" }[event.state],
        text: event.state === "cancelled" ? "here; the service may go on, and charge for it" : "",
    }),
    picture: ({ picture }) => ({
        tone: picture.error ? "bad" : "done", name: picture.error ? "Picture not fetched" : "Picture fetched",
        text: picture.error ? picture.error.message : `${bytes(picture.size)} of ${picture.content_type} in ${seconds(picture.seconds)}`,
    }),
};

function eventItem(event) {
    const make = LINES[event.kind];
    if (!make) return null;
    const { tone, name, chip, text, more } = make(event);
    return h("li", { class: `event ${tone}`, "data-kind": event.kind },
        h("span", { class: "at" }, seconds(event.at)),
        h("div", { class: "event-body" },
            h("p", {}, h("strong", {}, name), chip && [" ", h("span", { class: "chip" }, chip)], text && ` ${text}`), more));
}

// --- how it stands ----------------------------------------------------------------------------------------------------

function polls(task) {
    return task.events.filter((event) => event.kind === "exchange" && event.what === "poll").length;
}

function facts(task) {
    const picture = list(task.pictures).find((one) => one.size);
    const rows = [
        ["Credits", task.credits !== undefined ? credits(task.credits) : task.price !== undefined ? `about ${credits(task.price)}` : "not published"],
        ["Polls", String(polls(task))],
        ["Picture", picture ? `${task.pixels || ""}${bytes(picture.size)} ${(picture.content_type || "").replace("image/", "").toUpperCase()}` : null],
        ["Task", task.task_id],
    ].filter(([, value]) => value !== null && value !== undefined);
    return rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}

const WORDS = { submitting: "Submitting", running: "Running", succeeded: "Finished", failed: "Failed", cancelled: "Cancelled" };

function standing(task) {
    const parts = [WORDS[task.state]];
    if (task.alive && task.status) parts.push(task.status);
    if (task.alive && task.progress !== undefined) parts.push(`${Math.round(task.progress * 100)} %`);
    return parts.join(" · ");
}

// A view of TASK that follows it: { element, draw() }. `act` is what its buttons do.
export function makeView(task, act) {
    const clock = h("span", { class: "clock" });
    const words = h("p", { class: "standing" });
    const bar = h("progress", { max: 1, "aria-label": "Progress of the task" });
    const canvas = h("div", { class: "canvas" });
    const numbers = h("dl", { class: "facts" });
    const failure = h("div", {});
    const actions = h("div", { class: "actions" });
    const events = h("ol", { class: "events", "aria-label": "What happened" });
    const prompt = h("p", { class: "prompt" }, task.request.prompt);
    const button = (label, action, style) => h("button", { type: "button", class: style || "quiet", onclick: () => act[action](task) }, label);
    let drawn = 0, shownPictures = 0, shownState = null;

    function measured(event) {
        task.pixels = `${event.target.naturalWidth} × ${event.target.naturalHeight}, `;
        numbers.replaceChildren(...facts(task));
    }
    function drawCanvas() {
        const pictures = list(task.pictures).filter((one) => one.size && !one.dropped);
        if (pictures.length === 0 || pictures.length === shownPictures) return;
        shownPictures = pictures.length;
        canvas.classList.add("has-picture");
        canvas.replaceChildren(...pictures.map((picture) => h("a", { href: file(task, picture), target: "_blank", rel: "noopener" },
            h("img", { src: file(task, picture), alt: `Picture of: ${task.request.prompt}`, onload: measured }))));
    }
    function drawActions() {
        const pictures = list(task.pictures).filter((one) => one.size && !one.dropped);
        const key = [task.state, task.resumable, pictures.length].join();
        if (key === shownState) return;
        shownState = key;
        const focused = actions.contains(document.activeElement);
        actions.replaceChildren(...[
            task.alive && button("Cancel", "cancel"),
            task.resumable && button("Wait again", "resume", "primary small"),
            ...pictures.map((picture) => h("a", { class: "button quiet", href: file(task, picture), download: fileName(task, picture) }, "Save the picture")),
            !task.alive && button("Send again", "resend"),
            button("Edit this request", "edit"),
        ].filter(Boolean));
        if (focused) actions.querySelector("button, a").focus();
        failure.replaceChildren(...(task.error && task.state !== "cancelled" ? [failureCard(task.error)] : []));
        const lost = list(task.pictures).find((one) => one.error);
        if (lost) failure.append(failureCard(lost.error));
    }
    function draw() {
        words.textContent = standing(task);
        words.dataset.state = task.state;
        bar.hidden = !task.alive;
        if (task.progress === undefined) bar.removeAttribute("value");
        else bar.value = task.progress;
        canvas.classList.toggle("working", task.alive || Boolean(task.fetching));
        canvas.classList.toggle("nothing", !task.alive && !task.fetching && shownPictures === 0 && list(task.pictures).length === 0);
        numbers.replaceChildren(...facts(task));
        drawCanvas();
        drawActions();
        for (; drawn < task.events.length; drawn++) {
            const item = eventItem(task.events[drawn]);
            if (item) events.append(item);
        }
        tick();
    }
    function tick() {
        clock.textContent = task.alive ? seconds((performance.now() - task.since) / 1000) : seconds(task.elapsed);
    }
    const [width, height] = parseRatio(task.request.aspect_ratio || "1:1") || [1, 1];
    canvas.style.setProperty("--ratio", String(width / height));
    const element = h("article", { class: "task", "data-task": task.id },
        canvas, h("div", { class: "standing-row" }, words, clock), bar, prompt, actions, failure, numbers,
        h("h3", {}, "What happened"), events);
    draw();
    return { element, draw, tick, task };
}

export function emptyStage(about) {
    const hint = about.emulator
        ? h("p", {}, "This is the emulator: no credits are spent. A prompt that holds ", h("code", {}, "[fail]"), " fails, ",
            h("code", {}, "[moderate]"), " is moderated, ", h("code", {}, "[reject]"), " is refused.")
        : h("p", {}, "Each picture that you send for costs credits of your account.");
    return h("div", { class: "empty-stage" }, h("p", { class: "empty-title" }, "Your picture appears here"), hint);
}
