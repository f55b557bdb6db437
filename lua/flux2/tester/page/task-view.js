// The view of a task: image, progress, actions and events.

import { bytes, credits, h, list, pretty, seconds } from "./dom.js";
import { failureCard } from "./failure.js";
import { parseRatio } from "./ratios.js";

const BAD_HTTP = 400;

const file = (task, image) => `images/${task.id}/${image.index}`;

function fileName(task, image) {
    const words = task.request.prompt.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40);
    const ending = (image.content_type || "image/png").split("/")[1];
    return `${words || "image"}.${ending}`;
}

// --- events -----------------------------------------------------------------------------------------------------------

function raw(body, size) {
    if (!body) return null;
    const cut = size > body.length ? `, the first ${bytes(body.length)} of ${bytes(size)}` : "";
    return h("details", {}, h("summary", {}, `Raw response${cut}`), h("pre", { tabindex: "0" }, pretty(body)));
}

function requestLine(event) {
    const name = event.what === "poll" ? `Poll ${event.number}` : event.number > 1 ? `Submission, attempt ${event.number}` : "Submission";
    const bad = event.failure || event.http_status >= BAD_HTTP;
    const parts = [];
    if (event.failure) parts.push(event.message || event.failure);
    else if (!bad && event.status) parts.push(event.status);
    if (!bad && event.progress !== undefined) parts.push(`${Math.round(event.progress * 100)} %`);
    if (event.retry_after !== undefined) parts.push(`retry after ${seconds(event.retry_after)}`);
    if (event.pause !== undefined) parts.push(`next request in ${seconds(event.pause)}`);
    return {
        tone: bad ? "bad" : "good", name, chip: event.http_status ? `HTTP ${event.http_status}` : event.failure,
        text: parts.join(" · "), more: raw(event.body, event.size),
    };
}

const LINES = {
    submitted: () => ({ tone: "plain", name: "Submitted", text: "checked and passed to the client" }),
    request: requestLine,
    resumed: () => ({ tone: "plain", name: "Resumed", text: "polling continues" }),
    ended: (event) => ({
        tone: event.state === "succeeded" ? "done" : "bad", name: { succeeded: "Finished", failed: "Failed", cancelled: "Cancelled" }[event.state],
        text: event.state === "cancelled" ? "locally; the service may still finish the task and charge for it" : "",
    }),
    image: ({ image }) => ({
        tone: image.error ? "bad" : "done", name: image.error ? "Image not downloaded" : "Image downloaded",
        text: image.error ? image.error.message : `${bytes(image.size)} of ${image.content_type} in ${seconds(image.seconds)}`,
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

// --- state ------------------------------------------------------------------------------------------------------------

function polls(task) {
    return task.events.filter((event) => event.kind === "request" && event.what === "poll").length;
}

function facts(task) {
    const image = list(task.images).find((one) => one.size);
    const rows = [
        ["Credits", task.credits !== undefined ? credits(task.credits) : task.price !== undefined ? `about ${credits(task.price)}` : "not published"],
        ["Polls", String(polls(task))],
        ["Image", image ? `${task.pixels || ""}${bytes(image.size)} ${(image.content_type || "").replace("image/", "").toUpperCase()}` : null],
        ["Task", task.task_id],
    ].filter(([, value]) => value !== null && value !== undefined);
    return rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}

const WORDS = { submitting: "Submitting", running: "Running", succeeded: "Finished", failed: "Failed", cancelled: "Cancelled" };

function stateText(task) {
    const parts = [WORDS[task.state]];
    if (task.running && task.status) parts.push(task.status);
    if (task.running && task.progress !== undefined) parts.push(`${Math.round(task.progress * 100)} %`);
    return parts.join(" · ");
}

// Creates the view of TASK: { element, draw(), tick(), task }. `act` holds the actions of the buttons.
export function makeView(task, act) {
    const clock = h("span", { class: "clock" });
    const words = h("p", { class: "standing" });
    const bar = h("progress", { max: 1, "aria-label": "Progress of the task" });
    const canvas = h("div", { class: "canvas" });
    const numbers = h("dl", { class: "facts" });
    const failure = h("div", {});
    const actions = h("div", { class: "actions" });
    const events = h("ol", { class: "events", "aria-label": "Events" });
    const prompt = h("p", { class: "prompt" }, task.request.prompt);
    // The first click of a double click may have put another button in the place of this one.
    const button = (label, action, style) => h("button", {
        type: "button", class: style || "quiet", onclick: (event) => { if (event.detail < 2) act[action](task); },
    }, label);
    let drawn = 0, shownImages = 0, shownState = null;

    function measured(event) {
        task.pixels = `${event.target.naturalWidth} × ${event.target.naturalHeight}, `;
        numbers.replaceChildren(...facts(task));
    }
    function drawCanvas() {
        const images = list(task.images).filter((one) => one.size && !one.dropped);
        if (images.length === 0 || images.length === shownImages) return;
        shownImages = images.length;
        canvas.classList.add("has-image");
        canvas.replaceChildren(...images.map((image) => h("a", { href: file(task, image), target: "_blank", rel: "noopener" },
            h("img", { src: file(task, image), alt: `Image of: ${task.request.prompt}`, onload: measured }))));
    }
    function drawActions() {
        const images = list(task.images).filter((one) => one.size && !one.dropped);
        const key = [task.state, task.resumable, images.length].join();
        if (key === shownState) return;
        shownState = key;
        const focused = actions.contains(document.activeElement);
        actions.replaceChildren(...[
            task.running && button("Cancel", "cancel"),
            task.resumable && button("Resume polling", "resume", "primary small"),
            ...images.map((image) => h("a", { class: "button quiet", href: file(task, image), download: fileName(task, image) }, "Save the image")),
            !task.running && button("Send again", "resend"),
            button("Edit this request", "edit"),
        ].filter(Boolean));
        if (focused) actions.querySelector("button, a").focus();
        failure.replaceChildren(...(task.error && task.state !== "cancelled" ? [failureCard(task.error)] : []));
        const lost = list(task.images).find((one) => one.error);
        if (lost) failure.append(failureCard(lost.error));
    }
    function draw() {
        words.textContent = stateText(task);
        words.dataset.state = task.state;
        bar.hidden = !task.running;
        if (task.progress === undefined) bar.removeAttribute("value");
        else bar.value = task.progress;
        canvas.classList.toggle("working", task.running || Boolean(task.fetching));
        canvas.classList.toggle("nothing", !task.running && !task.fetching && shownImages === 0 && list(task.images).length === 0);
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
        clock.textContent = task.running ? seconds((performance.now() - task.since) / 1000) : seconds(task.elapsed);
    }
    const [width, height] = parseRatio(task.request.aspect_ratio || "1:1") || [1, 1];
    canvas.style.setProperty("--ratio", String(width / height));
    const element = h("article", { class: "task", "data-task": task.id },
        canvas, h("div", { class: "standing-row" }, words, clock), bar, prompt, actions, failure, numbers,
        h("h3", {}, "Events"), events);
    draw();
    return { element, draw, tick, task };
}

export function emptyStage(about) {
    const hint = about.emulator
        ? h("p", {}, "This is the emulator: no credits are spent. A prompt that contains ", h("code", {}, "[fail]"), " fails, ",
            h("code", {}, "[moderate]"), " is moderated, ", h("code", {}, "[reject]"), " is rejected.")
        : h("p", {}, "Each request costs credits of your account.");
    return h("div", { class: "empty-stage" }, h("p", { class: "empty-title" }, "Your image appears here"), hint);
}
