// Brings the parts together: the form on one side, the session that the local server keeps on the other.

import { follow, get, post } from "./api.js";
import { makeCode } from "./code.js";
import { byId, credits, list, seconds } from "./dom.js";
import { failureCard } from "./failure.js";
import { makeForm } from "./form.js";
import { makeGallery } from "./gallery.js";
import { emptyStage, makeView } from "./life.js";

const tasks = new Map(); // id -> summary of the task, and what the page adds to it:
const OWN = ["events", "since", "pixels"];
let view = null;

const announce = (text) => { byId("live").textContent = text; };
const alarm = (text) => { byId("alarm").textContent = text; };

function showFailure(error) {
    view = null;
    byId("stage").replaceChildren(failureCard(error));
    alarm(`${error.kind}: ${error.message}`);
}

// --- what screen readers hear: each change of state or status once, progress by quarters --------------------------

const told = new Map();

function tell(task) {
    const quarter = task.progress === undefined ? "" : ` ${Math.floor(task.progress * 4) * 25} percent`;
    let text = `${task.status || task.state}${task.alive ? quarter : ""}`;
    if (task.state === "succeeded") text = `Finished in ${seconds(task.elapsed)}`;
    if (task.state === "cancelled") text = "Cancelled";
    if (told.get(task.id) === text) return;
    told.set(task.id, text);
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

// Where there is one column only, the result is further down.
function show() {
    if (matchMedia("(max-width: 60rem)").matches) byId("result").scrollIntoView();
}

function reopen(task) {
    open(task);
    byId("result").focus();
}

async function send(request) {
    const { id } = await post("tasks", { request });
    wanted = id;
    if (!tasks.has(id)) return;
    wanted = null;
    open(tasks.get(id));
    show();
}

async function attempt(action) {
    try {
        await action();
    } catch (error) {
        if (error instanceof Error) throw error;
        showFailure(error);
    }
}

const actions = {
    cancel: (task) => attempt(() => post(`tasks/${task.id}/cancel`)),
    resume: (task) => attempt(() => post(`tasks/${task.id}/resume`)),
    resend: (task) => attempt(() => send(withoutModel(task.request))),
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

let wanted = null; // the id of the task that was just sent for

function heard(news) {
    document.body.classList.remove("lost");
    for (const summary of list(news.tasks)) {
        const known = tasks.get(summary.id) || { events: [], since: performance.now() };
        // What is not said any more is not so any more.
        for (const name of Object.keys(known)) if (!OWN.includes(name)) delete known[name];
        tasks.set(summary.id, Object.assign(known, summary));
    }
    for (const event of list(news.events)) {
        const task = tasks.get(event.task);
        if (!task) continue;
        task.events.push(event);
        task.since = Math.min(task.since, performance.now() - event.at * 1000);
    }
    for (const { id } of list(news.tasks)) {
        const task = tasks.get(id);
        gallery.draw(task);
        if (view && view.task === task) view.draw();
        if (id === wanted) {
            wanted = null;
            open(task);
            show();
        }
        tell(task);
    }
    const last = [...tasks.values()].pop();
    if (!view && last && !byId("stage").querySelector(".failure")) open(last);
    byId("spent").textContent = news.spent > 0 ? `${credits(news.spent)} this session` : "";
}

function lost(error) {
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
    byId("stage").replaceChildren(emptyStage(about));
    const code = makeCode(announce);
    gallery = makeGallery(reopen);
    form = makeForm(about, code.show);
    let sending = false;
    byId("form").addEventListener("submit", async (event) => {
        event.preventDefault();
        if (sending) return;
        sending = true;
        await attempt(async () => {
            if (!(await form.approve())) return;
            announce("Submitting");
            await send(form.request());
        });
        sending = false;
    });
    byId("form").addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
    });
    setInterval(() => { if (view) view.tick(); }, 100);
    follow(heard, lost);
}

start().catch((error) => showFailure(error.kind ? error : { kind: "io", message: String(error) }));
