// Failures are shown with their kind, message and advice; retried requests recover.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage, setUp, startHost } from "./support.mjs";

const { browser, host } = await setUp({ emulator: { image_bytes: 600 } });

async function send(page, prompt) {
    await page.fill("#prompt", prompt);
    await page.click("#send");
    await page.locator(".task .prompt").filter({ hasText: prompt }).waitFor();
}
const state = (page, name) => page.locator(`.standing[data-state="${name}"]`).waitFor();
const events = (page) => page.locator(".event").allTextContents();

test("a failed task", async () => {
    const { page, problems } = await openPage(browser, host);
    await send(page, "a fox [fail]");
    await state(page, "failed");
    const card = page.locator(".failure");
    assert.equal(await card.locator(".kind").textContent(), "task_failed");
    assert.match(await card.locator("h3").textContent(), /accepted the task and could not finish it/);
    assert.match(await card.locator(".failure-message").textContent(), /'FAILED'/);
    assert.match(await card.locator(".advice").textContent(), /What to do: .*submitting again is a new task/);
    assert.match(await page.textContent("#alarm"), /^task_failed: /);
    assert.equal(await page.locator(".tile-mark").first().textContent(), "task_failed");
    await send(page, "a fox [moderate]");
    await page.locator(".kind").filter({ hasText: "moderated" }).waitFor();
    await send(page, "a fox [reject]");
    await page.locator(".kind").filter({ hasText: "rejected" }).waitFor();
    assert.match(await card.locator(".facts").textContent(), /HTTP status422/);
    assert.deepEqual(problems, []);
    await page.close();
});

test("a retry after a 429 of the emulator", async () => {
    const { page, problems } = await openPage(browser, host);
    const before = (await host.call("ledger")).length;
    await host.call("fault", { method: "POST", times: 1, retry_after: 1 });
    await host.call("fault", { method: "GET", path: "/api/v1/tasks/*", nth: 1, status: 503 });
    await send(page, "patience");
    await state(page, "succeeded");
    const shown = await events(page);
    assert.match(shown[1], /Submission HTTP 429 .*retry after 1\.00 s · next request in 1\.\d\d s/);
    assert.match(shown[2], /Submission, attempt 2 HTTP 200 IN_PROGRESS/);
    assert.match(shown[3], /Poll 1 HTTP 503 .*next request in/);
    assert.match(shown[4], /Poll 2 HTTP 200/);
    assert.equal(await page.locator(".event.bad").count(), 2);
    assert.equal(await page.locator(".failure").count(), 0);
    assert.equal((await host.call("ledger")).length, before + 1, "the image was bought once");
    assert.deepEqual(problems, []);
    await page.close();
});

test("a prompt and a response with HTML are displayed as text", async () => {
    const { page, problems } = await openPage(browser, host);
    const evil = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script><b>bold</b> \u202e&amp;`;
    await send(page, evil);
    await state(page, "succeeded");
    assert.equal(await page.locator(".task .prompt").textContent(), evil);
    assert.equal(await page.locator(".tile-prompt").first().textContent(), evil);
    assert.ok((await page.textContent("#code")).includes("onerror"));
    await host.call("fault", { method: "POST", status: 422, body: JSON.stringify({ error: { message: evil, code: "<i>", type: "<script>x</script>" } }) });
    await send(page, `once more ${evil}`);
    await state(page, "failed");
    assert.match(await page.locator(".failure-message").textContent(), /<img src=x/);
    await page.locator(".failure summary").click();
    assert.match(await page.locator(".failure pre").textContent(), /<script>x<\/script>/);
    assert.equal(await page.locator(".task b, .task .prompt *, .failure i, .failure script, .tile b, #code *").count(), 0);
    assert.equal(await page.locator('img[src="x"]').count(), 0);
    assert.equal(await page.title(), "flux2 tester");
    assert.deepEqual(problems, []);
    await page.close();
});

test("cancelling a task", async () => {
    const { page, problems } = await openPage(browser, host);
    await host.call("set", { duration: 60 });
    await send(page, "too slow");
    await state(page, "running");
    assert.ok(await page.locator("progress").isVisible());
    await page.getByRole("button", { name: "Cancel" }).click();
    await state(page, "cancelled");
    assert.match((await events(page)).at(-1), /Cancelled/);
    await host.call("set", { duration: 0.3 });
    assert.deepEqual(problems, []);
    await page.close();
});

test("a task that timed out is resumed, and not bought again", async () => {
    const slow = await startHost({ emulator: { duration: 60, image_bytes: 600 }, tester: { timeout: 3, poll: { interval: 0.1 } } });
    const { page, problems } = await openPage(browser, slow);
    assert.equal(await page.textContent("#where-kind"), "Live service", "the tester does not know that it is an emulator");
    await send(page, "slow");
    await state(page, "failed");
    assert.equal(await page.locator(".kind").textContent(), "timeout");
    await slow.call("finish");
    await page.getByRole("button", { name: "Resume polling" }).click();
    await state(page, "succeeded");
    await page.locator(".canvas img").waitFor();
    assert.equal(await page.locator(".failure").count(), 0);
    assert.equal((await slow.call("ledger")).length, 1);
    assert.deepEqual(problems, []);
    await page.close();
    await slow.stop();
});

test("the key is neither in the page nor in a response", async () => {
    const secret = await startHost({
        emulator: { api_key: "secret-of-nobody", image_bytes: 600 }, tester: {},
    });
    const page = await browser.context.newPage();
    const bodies = [];
    page.on("response", async (response) => {
        if (!response.url().includes("images/")) bodies.push(await response.text().catch(() => ""));
    });
    await page.goto(secret.url);
    await secret.call("fault", { method: "POST", status: 422, body: '{"error":{"message":"wrong: secret-of-nobody"}}' });
    await send(page, "a fox");
    await state(page, "failed");
    await send(page, "another fox");
    await state(page, "succeeded");
    for (const tab of ["curl", "Lua", "JSON"]) await page.getByRole("tab", { name: tab }).click();
    const all = bodies.join("\n") + await page.content();
    assert.match(all, /wrong: \[key\]/);
    assert.ok(!all.includes("secret-of-nobody"));
    await page.close();
    await secret.stop();
});

test("the page reports the end of the tester", async () => {
    const short = await startHost();
    const { page } = await openPage(browser, short);
    await short.stop();
    await page.locator(".failure-message").filter({ hasText: "the tester does not respond" }).waitFor();
    assert.match(await page.textContent(".advice"), /Start it again/);
    await page.close();
});
