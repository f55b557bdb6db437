// Connects the form with the session of the local server.

import { follow, get, post } from "./api.js";
import { makeCodePanel } from "./code.js";
import { byId, credits, list, seconds } from "./dom.js";
import { failureCard } from "./failure.js";
import { makeForm } from "./form.js";
import { makeGallery } from "./gallery.js";
import { emptyStage, makeView } from "./task-view.js";

const tasks = new Map(); // id -> task summary with the page's own members:
const OWN = ["events", "since", "pixels"];
let view = null;

const announce = (text) => { byId("live").textContent = text; };
const alarm = (text) => { byId("alarm").textContent = text; };

function showFailure(error) {
    view = null;
    byId("stage").replaceChildren(failureCard(error));
    alarm(`${error.kind}: ${error.message}`);
}

// --- screen readers: each state or status once, progress in steps of 25 % --------------------------------------

const announced = new Map();

function announceTask(task) {
    const quarter = task.progress === undefined ? "" : ` ${Math.floor(task.progress * 4) * 25} percent`;
    let text = `${task.status || task.state}${task.running ? quarter : ""}`;
    if (task.state === "succeeded") text = `Finished in ${seconds(task.elapsed)}`;
    if (task.state === "cancelled") text = "Cancelled";
    if (announced.get(task.id) === text) return;
    announced.set(task.id, text);
    if (task.state === "failed" && task.error) alarm(`${task.error.kind}: ${task.error.message}`);
    else announce(text);
}

// --- the session -----------------------------------------------------------------------------------------------------

function open(task) {
    if (!view || view.task !== task) {
        view = makeView(task, actions);
        byId("stage").replaceChildren(view.element);
    }
    gallery.select(task);
}

// In the one-column layout the result is below the form.
function show() {
    if (matchMedia("(max-width: 60rem)").matches) byId("result").scrollIntoView();
}

function reopen(task) {
    open(task);
    byId("result").focus();
}

async function send(request) {
    const { id } = await post("tasks", { request });
    pendingId = id;
    if (!tasks.has(id)) return;
    pendingId = null;
    open(tasks.get(id));
    show();
}

async function run(action) {
    try {
        await action();
    } catch (error) {
        if (error instanceof Error) throw error;
        showFailure(error);
    }
}

const actions = {
    cancel: (task) => run(() => post(`tasks/${task.id}/cancel`)),
    resume: (task) => run(() => post(`tasks/${task.id}/resume`)),
    resend: (task) => run(() => send(withoutModel(task.request))),
    edit(task) {
        form.fill(task.request);
        byId("prompt").focus();
    },
};

function withoutModel(request) {
    const copy = { ...request };
    delete copy.model;
    return copy;
}

let pendingId = null; // id of a submitted task that has no summary yet

function onEvents(update) {
    document.body.classList.remove("lost");
    for (const summary of list(update.tasks)) {
        const known = tasks.get(summary.id) || { events: [], since: performance.now() };
        // Members that are missing in the summary are unset.
        for (const name of Object.keys(known)) if (!OWN.includes(name)) delete known[name];
        tasks.set(summary.id, Object.assign(known, summary));
    }
    for (const event of list(update.events)) {
        const task = tasks.get(event.task);
        if (!task) continue;
        task.events.push(event);
        task.since = Math.min(task.since, performance.now() - event.at * 1000);
    }
    for (const { id } of list(update.tasks)) {
        const task = tasks.get(id);
        gallery.draw(task);
        if (view && view.task === task) view.draw();
        if (id === pendingId) {
            pendingId = null;
            open(task);
            show();
        }
        announceTask(task);
    }
    const last = [...tasks.values()].pop();
    if (!view && last && !byId("stage").querySelector(".failure")) open(last);
    byId("spent").textContent = update.spent > 0 ? `${credits(update.spent)} this session` : "";
}

function onError(error) {
    if (document.body.classList.contains("lost")) return;
    document.body.classList.add("lost");
    showFailure(error);
}

// --- start --------------------------------------------------------------------------------------------------------------

let form, gallery;

async function start() {
    const about = await get("about");
    byId("where-kind").textContent = about.emulator ? "Emulator" : "Live service";
    byId("where-kind").classList.toggle("live", !about.emulator);
    byId("where-url").textContent = about.base_url;
    if (about.emulator) byId("code-rule").textContent = "The key is that of the emulator: the code runs as it is.";
    byId("stage").replaceChildren(emptyStage(about));
    const code = makeCodePanel(announce);
    gallery = makeGallery(reopen);
    form = makeForm(about, code.show);
    let sending = false;
    byId("form").addEventListener("submit", async (event) => {
        event.preventDefault();
        if (sending) return;
        sending = true;
        await run(async () => {
            if (!(await form.validate())) return;
            announce("Submitting");
            await send(form.request());
        });
        sending = false;
    });
    // The second click of a double click, and a key that is held down, do not pay again.
    byId("send").addEventListener("click", (event) => { if (event.detail > 1) event.preventDefault(); });
    byId("form").addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        const isShortcut = event.ctrlKey || event.metaKey;
        if (event.repeat && (isShortcut || event.target !== byId("prompt"))) event.preventDefault();
        else if (isShortcut) byId("form").requestSubmit();
    });
    setInterval(() => { if (view) view.tick(); }, 100);
    follow(onEvents, onError);
}

start().catch((error) => showFailure(error.kind ? error : { kind: "io", message: String(error) }));
