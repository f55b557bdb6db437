// From the prompt to an image, and the functions for a finished image.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage, pasted, setUp } from "./support.mjs";

const { browser, host } = await setUp();

const choose = (page, name, value) => page.locator(`input[name="${name}"][value="${value}"]`).check({ force: true });

async function finished(page, n) {
    await page.locator(`.task[data-task="${n}"] .standing[data-state="succeeded"]`).waitFor();
    const image = page.locator(`.task[data-task="${n}"] .canvas img`);
    await image.waitFor();
    await image.evaluate((img) => img.decode());
    return image.evaluate((img) => [img.naturalWidth, img.naturalHeight]);
}

test("a complete generation", async () => {
    const { page, problems } = await openPage(browser, host);
    await page.locator("#prompt").pressSequentially("a red fox in the snow");
    assert.equal(await page.textContent("#prompt-count"), "21 / 5000");
    await choose(page, "ratio", "16:9");
    await choose(page, "type", "flex");
    assert.equal(await page.textContent("#cost"), "about 6 credits");
    await page.click("#send");
    const [width, height] = await finished(page, 1);
    assert.ok(Math.abs(width / height - 16 / 9) < 0.03, `${width} x ${height}`);

    const [sent] = await host.call("ledger");
    assert.equal(sent.prompt, "a red fox in the snow");
    assert.deepEqual([sent.aspect_ratio, sent.type, sent.resolution], ["16:9", "flex", "1K"]);

    const events = await page.locator(".event").allTextContents();
    const polls = events.filter((text) => /Poll \d+ HTTP 200/.test(text));
    assert.match(events[0], /0\.\d\d s.*Submitted/);
    assert.match(events[1], /Submission HTTP 200 IN_PROGRESS · next request in/);
    assert.equal(polls.length, (await host.call("stats")).polls, "each poll is shown");
    assert.match(polls.at(-1), /\d\.\d\d s.*SUCCESS · 100 %/);
    assert.match(events.at(-1), /Image downloaded \d+ KB of image\/png/);
    await page.locator('.event:has-text("Poll") summary').last().click();
    assert.match(await page.locator(".event details[open] pre").last().textContent(), /"image_url": "http:/);
    const facts = await page.locator(".task > .facts").textContent();
    assert.match(facts, /Credits6 credits/);
    assert.match(facts, new RegExp(sent.task_id));
    assert.equal(await page.textContent("#spent"), "6 credits this session");
    assert.match(await page.textContent("#live"), /Finished in/);
    assert.deepEqual(problems, []);
    await page.close();
});

test("keyboard only", async () => {
    const { page, problems } = await openPage(browser, host);
    await page.keyboard.type("a heron at dawn"); // the prompt has the focus
    const seen = [];
    for (let i = 0; i < 8; i++) {
        await page.keyboard.press("Tab");
        seen.push(await page.evaluate(() => document.activeElement.name || document.activeElement.id));
    }
    assert.deepEqual(seen.slice(0, 6), ["ratio", "ratio-other", "type", "resolution", "add-input", "send"]);
    await page.focus('input[name="ratio"]:checked');
    await page.keyboard.press("ArrowRight");
    await page.focus('input[name="type"]:checked');
    await page.keyboard.press("ArrowDown");
    await page.focus("#prompt");
    await page.keyboard.press("Control+Enter");
    await finished(page, 2);
    const sent = (await host.call("ledger"))[1];
    assert.deepEqual([sent.prompt, sent.aspect_ratio, sent.type], ["a heron at dawn", "4:3", "flex"]);
    assert.deepEqual(problems, []);
    await page.close();
});

test("the session survives a reload; images can be reopened, sent again and edited", async () => {
    const { page, problems } = await openPage(browser, host);
    await page.locator(".tile").nth(1).waitFor();
    assert.equal(await page.locator(".tile").count(), 2);
    await page.getByRole("button", { name: "a red fox in the snow (finished)" }).click();
    await finished(page, 1);
    assert.equal(await page.locator('.tile[aria-current="true"] .tile-prompt').textContent(), "a red fox in the snow");
    assert.equal(await page.evaluate(() => document.activeElement.id), "result");

    await page.getByRole("button", { name: "Send again" }).click();
    await finished(page, 3);
    const ledger = await host.call("ledger");
    assert.equal(ledger.length, 3);
    assert.deepEqual([ledger[2].prompt, ledger[2].type, ledger[2].aspect_ratio], ["a red fox in the snow", "flex", "16:9"]);

    await page.getByRole("button", { name: "Edit this request" }).click();
    assert.equal(await page.inputValue("#prompt"), "a red fox in the snow");
    assert.equal(await page.locator('input[name="type"]:checked').inputValue(), "flex");
    assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");

    const [download] = await Promise.all([
        page.waitForEvent("download"), page.getByRole("link", { name: "Save the image" }).click(),
    ]);
    assert.equal(download.suggestedFilename(), "a-red-fox-in-the-snow.png");
    assert.deepEqual(problems, []);
    await page.close();
});

test("the request as curl, Lua and JSON, copied with one click", async () => {
    const { page, problems } = await openPage(browser, host);
    await page.locator("#code").filter({ hasText: "Not a valid request yet" }).waitFor();
    await page.fill("#prompt", "it's a \"fox\"");
    await page.locator("#code").filter({ hasText: "curl -X POST" }).waitFor();
    const copied = async () => {
        await page.click("#copy");
        await page.getByRole("button", { name: "Copied" }).waitFor();
        return pasted(browser);
    };
    const curl = await copied();
    assert.ok(curl.includes(`'${host.base_url}/api/v1/images/generations'`));
    assert.ok(curl.includes(host.api_key), "the key of an emulator: it runs as copied");
    assert.match(await page.textContent("#code-rule"), /runs as it is/);
    await page.getByRole("tab", { name: "curl" }).focus();
    await page.keyboard.press("ArrowRight");
    assert.match(await copied(), /^local flux2 = require "flux2"/);
    await page.getByRole("tab", { name: "JSON" }).click();
    assert.deepEqual(JSON.parse(await copied()), {
        model: "flux-2", prompt: "it's a \"fox\"", aspect_ratio: "1:1", type: "pro", resolution: "1K",
    });
    assert.deepEqual(problems, []);
    await page.close();
});

test("input images: added, previewed, removed, sent; at most eight", async () => {
    const { page, problems } = await openPage(browser, host);
    await page.locator(".tile").first().waitFor();
    const [{ task_id: id }] = await host.call("ledger");
    const address = `${host.base_url}/images/${id}/1.png`;
    await page.fill("#prompt", "the same fox, in winter");
    await page.click("#add-input");
    await page.keyboard.type(address); // the new field has the focus
    const thumb = page.locator(".thumb img").first();
    await thumb.waitFor();
    assert.ok(await thumb.evaluate(async (img) => { await img.decode(); return img.naturalWidth > 0; }));
    await page.click("#add-input");
    await page.keyboard.type(`${host.base_url}/nothing.png`);
    await page.locator(".thumb-note").filter({ hasText: "no preview" }).waitFor();
    assert.match(await page.locator(".thumb").nth(1).getAttribute("title"), /^not_found: /);
    for (let i = 2; i < 8; i++) await page.click("#add-input");
    assert.ok(await page.locator("#add-input").isDisabled());
    assert.equal(await page.textContent("#add-input"), "8 of 8 URLs");
    for (let i = 8; i > 2; i--) await page.getByRole("button", { name: `Remove image URL ${i}` }).click();
    await page.click("#send");
    await finished(page, 4);
    assert.deepEqual((await host.call("ledger"))[3].input_urls, [address, `${host.base_url}/nothing.png`]);
    assert.deepEqual(problems, []);
    await page.close();
});

test("a double click, or a key that is held down, sends once", async () => {
    const { page, problems } = await openPage(browser, host);
    await page.locator(".tile").nth(3).waitFor();
    await page.fill("#prompt", "a fox, once");
    await page.dblclick("#send", { delay: 150 });
    await finished(page, 5);
    await page.getByRole("button", { name: "Send again" }).dblclick({ delay: 150 });
    await finished(page, 6);
    await page.focus("#prompt");
    await page.keyboard.down("Control");
    await page.keyboard.down("Enter");
    await finished(page, 7);
    await page.keyboard.down("Enter"); // the key repeats
    await page.keyboard.up("Enter");
    await page.keyboard.up("Control");
    await page.focus("#ratio-other");
    await page.keyboard.down("Enter");
    await finished(page, 8);
    await page.keyboard.down("Enter");
    await page.keyboard.up("Enter");
    await page.fill("#prompt", "the last fox");
    await page.click("#send");
    await finished(page, 9);
    assert.equal((await host.call("ledger")).length, 9);
    assert.deepEqual(problems, []);
    await page.close();
});
