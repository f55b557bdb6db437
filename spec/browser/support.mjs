// A browser, an emulator with its tester in a Lua process, and functions for all browser specs.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { existsSync } from "node:fs";
import { mkdtemp, rm, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after } from "node:test";

export const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), "../..");
const require = createRequire(path.join(root, "build/browser/"));
const { chromium } = require("playwright-core");
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");

export const TIMEOUT = 60000; // ms

function findBrowser() {
    const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    const found = process.env.FLUX2_TEST_BROWSER || places.find((place) => existsSync(place));
    if (!found) throw new Error(`no Chromium found: tried ${places.join(", ")} and FLUX2_TEST_BROWSER`);
    return found;
}

// One browser per spec file, with its own profile.
export async function openBrowser() {
    const profile = await mkdtemp(path.join(tmpdir(), "flux2-browser-"));
    const context = await chromium.launchPersistentContext(profile, {
        executablePath: findBrowser(), headless: true, timeout: 60000,
        args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"],
        viewport: { width: 1280, height: 900 },
    });
    context.setDefaultTimeout(TIMEOUT);
    return {
        context,
        async close() {
            await context.close();
            await rm(profile, { recursive: true, force: true });
        },
    };
}

// A Lua process with an emulator and its tester. `call(verb, argument)` calls a method of the emulator.
export async function startHost(options = {}) {
    const lua = process.env.FLUX2_TEST_LUA || "lua5.4";
    const settings = { emulator: { duration: 0.3, image_bytes: 0, seed: 7, ...options.emulator }, tester: options.tester };
    const child = spawn(lua, ["spec/browser/host.lua", JSON.stringify(settings)], { cwd: root, stdio: ["pipe", "pipe", "pipe"] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    let problems = "";
    child.stderr.on("data", (data) => { problems += data; });
    const ended = new Promise((resolve) => { child.on("close", (code, signal) => resolve({ code, signal })); });
    const next = async () => {
        const { value, done } = await lines.next();
        if (done) {
            await ended;
            throw new Error(`the Lua process ended: ${problems}`);
        }
        return JSON.parse(value);
    };
    const about = await next();
    return {
        ...about,
        async call(verb, argument) {
            child.stdin.write(`${JSON.stringify({ verb, argument })}\n`);
            return (await next()).result;
        },
        async stop() {
            child.stdin.end();
            const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT);
            const { code, signal } = await ended;
            clearTimeout(timer);
            if (code !== 0 || problems !== "") throw new Error(`the Lua process: ${code ?? signal} ${problems}`);
        },
    };
}

// The browser and the process for a spec file, removed after its last test.
export async function setUp(options) {
    const browser = await openBrowser();
    const host = await startHost(options).catch(async (error) => {
        await browser.close();
        throw error;
    });
    after(async () => {
        await browser.close();
        await host.stop();
    });
    return { browser, host };
}

// A new page of the tester. Its errors and its requests to other hosts are added to `problems`.
export async function openPage(browser, host, options = {}) {
    const page = await browser.context.newPage();
    await page.setViewportSize(options.viewport || { width: 1280, height: 900 });
    await page.emulateMedia({ colorScheme: options.colorScheme || "light", reducedMotion: "reduce" });
    const problems = [];
    page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
    page.on("console", (message) => {
        // The browser logs error responses of the tester as errors, but they are expected.
        const isExpected = /status of (404|422|502)/.test(message.text());
        if (message.type() === "error" && !isExpected) problems.push(message.text());
    });
    page.on("request", (request) => {
        if (!request.url().startsWith(host.url)) problems.push(`requested ${request.url()}`);
    });
    await page.goto(host.url);
    await page.locator("#where-url").filter({ hasText: host.base_url }).waitFor();
    return { page, problems };
}

// The clipboard's text. The tester's page itself may not read it.
export async function pasted(browser) {
    const page = await browser.context.newPage();
    await page.setContent("<textarea autofocus></textarea>");
    await page.focus("textarea");
    await page.keyboard.press("Control+V");
    const text = await page.inputValue("textarea");
    await page.close();
    return text;
}

// The findings of axe-core; injected by the driver, because the page blocks scripts.
export async function violations(page) {
    await page.evaluate(axe);
    const { violations: found } = await page.evaluate(() => globalThis.axe.run(document, {
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }));
    return found.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 120) + " " + node.failureSummary).join(" | ")}`);
}
