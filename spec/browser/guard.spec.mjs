// Attacks of other pages on the tester in a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage, setUp } from "./support.mjs";

const { browser, host } = await setUp();

const REQUEST = JSON.stringify({ request: { prompt: "bought by another page" } });

// A page of another origin on the same machine, served by the emulator.
async function foreignPage() {
    await host.call("fault", { path: "/evil", times: 9, body: "<!doctype html><title>evil</title>", headers: { "Content-Type": "text/html" } });
    const page = await browser.context.newPage();
    await page.goto(`${host.base_url}/evil`);
    assert.equal(await page.title(), "evil");
    return page;
}

test("the security headers of the page", async () => {
    const { page } = await openPage(browser, host);
    const response = await page.reload();
    const headers = response.headers();
    assert.match(headers["content-security-policy"], /^default-src 'none'; script-src 'self';/);
    assert.ok(!/unsafe|\*|data:|https?:/.test(headers["content-security-policy"]));
    assert.match(headers["content-security-policy"], /frame-ancestors 'none'/);
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal(headers["cross-origin-opener-policy"], "same-origin");
    assert.equal(headers["cross-origin-resource-policy"], "same-origin");
    assert.equal(await page.evaluate(() => globalThis.crossOriginIsolated), true);
    await page.close();
});

test("scripts are blocked: inline, by URL, by markup", async () => {
    const { page } = await openPage(browser, host);
    await assert.rejects(page.addScriptTag({ content: "document.title = 'owned'" }));
    await assert.rejects(page.addScriptTag({ url: `${host.base_url}/images/x/1.png` }));
    const outcomes = await page.evaluate(() => {
        const tries = {
            markup: () => { document.body.innerHTML = "<b>x</b>"; },
            handler: () => { document.body.setAttribute("onclick", "document.title = 'owned'"); document.body.click(); },
        };
        const out = {};
        for (const [name, go] of Object.entries(tries)) {
            try { go(); out[name] = "done"; } catch (error) { out[name] = error.name; }
        }
        return out;
    });
    assert.equal(outcomes.markup, "TypeError", "trusted types reject markup");
    assert.equal(await page.title(), "flux2 tester");
    await page.close();
});

test("a request without the token is rejected", async () => {
    const { page } = await openPage(browser, host);
    const status = await page.evaluate(async (body) => {
        const options = { method: "POST", body, headers: { "Content-Type": "application/json" } };
        const wrong = location.pathname.replace(/^\/./, (first) => (first === "/0" ? "/1" : "/0"));
        return [(await fetch("/tasks", options)).status, (await fetch(`${wrong}tasks`, options)).status];
    }, REQUEST);
    assert.deepEqual(status, [403, 403]);
    assert.equal((await host.call("stats")).submissions, 0);
    await page.close();
});

test("another origin with the URL cannot call, read, include or frame the tester", async () => {
    const page = await foreignPage();
    const outcomes = await page.evaluate(async ([url, body]) => {
        const attempt = async (options, path = "tasks") => {
            try {
                const response = await fetch(url + path, options);
                return response.type === "opaque" ? "opaque" : `read ${response.status}`;
            } catch {
                return "refused";
            }
        };
        const load = (tag, source) => new Promise((resolve) => {
            const element = document.createElement(tag);
            element.onload = () => resolve("loaded");
            element.onerror = () => resolve("refused");
            element.src = url + source;
            document.body.append(element);
        });
        return {
            json: await attempt({ method: "POST", body, headers: { "Content-Type": "application/json" } }),
            plain: await attempt({ method: "POST", body, mode: "no-cors" }),
            read: await attempt({}, "about"),
            events: await attempt({}, "events?after=0"),
            script: await load("script", "page/main.js"),
            image: await load("img", "page/icon.svg"),
        };
    }, [host.url, REQUEST]);
    assert.deepEqual(outcomes, {
        json: "refused", plain: "refused", read: "refused", events: "refused", script: "refused", image: "refused",
    });
    await page.evaluate((url) => new Promise((resolve) => {
        const frame = document.createElement("iframe");
        frame.onload = resolve;
        frame.src = url;
        document.body.append(frame);
    }), host.url);
    const inner = page.frames().find((frame) => frame !== page.mainFrame());
    assert.equal(await inner.evaluate(() => document.getElementById("prompt")), null, "not framed");
    // A form can be sent to any origin; its content type is rejected.
    await page.evaluate(([url]) => {
        const form = Object.assign(document.createElement("form"), { method: "POST", action: `${url}tasks`, enctype: "text/plain" });
        const input = Object.assign(document.createElement("input"), { name: '{"request":{"prompt":"by form', value: '"}}' });
        form.append(input);
        document.body.append(form);
        form.submit();
    }, [host.url]);
    await page.getByText("the request comes from another site").waitFor();
    assert.equal((await host.call("stats")).submissions, 0);
    await page.close();
});

test("a request with a foreign Host (DNS rebinding) is rejected", async () => {
    const { page } = await openPage(browser, host);
    const port = new URL(host.url).port;
    const response = await page.request.get(host.url, { headers: { Host: `rebound.example:${port}` } });
    assert.equal(response.status(), 421);
    await page.close();
});
