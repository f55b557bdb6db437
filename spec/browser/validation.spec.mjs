// Each mistake that a request can hold is told at its field, before anything is sent.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage, setUp } from "./support.mjs";

const { browser, host } = await setUp();

const shown = (page, id, text) => page.locator(`#${id}`).filter({ hasText: text }).waitFor();

test("mistakes are told as soon as they are mistakes", async () => {
    const { page, complaints } = await openPage(browser, host);
    await page.locator("#prompt").pressSequentially("ab");
    await page.waitForFunction(() => document.getElementById("code").textContent.includes("has 2"));
    assert.equal(await page.textContent("#prompt-error"), "", "half a word is not a mistake yet");
    await page.locator("#prompt").blur();
    await shown(page, "prompt-error", "prompt must have 3 to 5000 characters, has 2");
    assert.equal(await page.getAttribute("#prompt", "aria-invalid"), "true");

    await page.fill("#prompt", "x".repeat(5001));
    await shown(page, "prompt-error", "has 5001");
    assert.equal(await page.textContent("#prompt-count"), "5001 / 5000");
    assert.ok(await page.locator("#prompt-count.over").count());
    // Characters as the service counts them: one fox is one character, not two.
    await page.fill("#prompt", "🦊".repeat(5000));
    await page.waitForFunction(() => document.getElementById("prompt-error").textContent === "");
    assert.equal(await page.textContent("#prompt-count"), "5000 / 5000");

    await page.fill("#prompt", "a red fox");
    await page.fill("#ratio-other", "16x9");
    await shown(page, "aspect_ratio-error", "did you mean '16:9'?");
    assert.equal(await page.getAttribute("#ratio-other", "aria-invalid"), "true");
    await page.fill("#ratio-other", "7:5");
    await page.waitForFunction(() => document.getElementById("aspect_ratio-error").textContent === "");
    await page.locator("#code").filter({ hasText: '"7:5"' }).waitFor();

    await page.click("#add-input");
    await page.fill('[aria-label="Image URL 1"]', "https://example.invalid/a.png");
    await page.click("#add-input");
    await page.fill('[aria-label="Image URL 2"]', "ftp://example.invalid/a.png");
    await shown(page, "input_urls-error-2", "input_urls[2] must be an http(s) URL");
    assert.equal(await page.textContent("#input_urls-error-1"), "");
    assert.equal(await page.getAttribute('[aria-label="Image URL 2"]', "aria-invalid"), "true");
    assert.deepEqual(complaints, []);
    assert.equal((await host.call("stats")).submissions, 0);
    await page.close();
});

test("Send with a mistake sends nothing, and leads to it", async () => {
    const { page, complaints } = await openPage(browser, host);
    await page.focus("#send");
    await page.keyboard.press("Enter");
    await shown(page, "prompt-error", "prompt must have 3 to 5000 characters, has 0");
    assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");
    await page.fill("#prompt", "a red fox");
    await page.fill("#ratio-other", "wide");
    await page.click("#send");
    await shown(page, "aspect_ratio-error", "aspect_ratio must be 'W:H'");
    assert.equal(await page.evaluate(() => document.activeElement.id), "ratio-other");
    assert.equal((await host.call("stats")).submissions, 0);
    assert.deepEqual(complaints, []);
    await page.close();
});

test("each price is that of the choice; flex at 2K has none", async () => {
    const { page } = await openPage(browser, host);
    const prices = () => page.locator(".price").allTextContents();
    const choose = (name, value) => page.locator(`input[name="${name}"][value="${value}"]`).check({ force: true });
    assert.deepEqual(await prices(), ["about 10 credits", "about 6 credits", "about 10 credits", "about 20 credits"]);
    await choose("resolution", "2K");
    assert.deepEqual(await prices(), ["about 20 credits", "price not published", "about 10 credits", "about 20 credits"]);
    assert.equal(await page.textContent("#cost"), "about 20 credits");
    await choose("type", "flex");
    assert.deepEqual(await prices(), ["about 20 credits", "price not published", "about 6 credits", "price not published"]);
    assert.equal(await page.textContent("#cost"), "price not published");
    await page.close();
});
