// The documentation's site. `make docs` copies docs/ to build/docs-src, writes the API pages there, and runs VitePress.
import { readFileSync } from "node:fs";
import { defineConfig } from "vitepress";

const source = new URL("../", import.meta.url);
const read = (name) => readFileSync(new URL(name, source), "utf8");
const title = (name) => read(`${name}.md`).match(/^# (.+)$/m)[1];
const { version, modules, classes } = JSON.parse(read("api.json")); // written by tools/docs/site.lua

const guides = JSON.parse(read("guides.json")).map(({ text, items }) => (
    { text, items: items.map((name) => ({ text: title(name), link: `/${name}` })) }
));
const pages = (text, folder, names) => (
    { text, collapsed: folder === "classes", items: names.map((name) => ({ text: name, link: `/${folder}/${name}.md` })) }
);

export default defineConfig({
    title: "flux2",
    description: "Image generation with Flux 2 for Lua",
    lang: "en",
    base: process.env.DOCS_BASE ?? "/",
    themeConfig: {
        nav: [
            { text: "Guide", link: "/first-image" },
            { text: "API", link: "/modules/flux2.md" },
            { text: `v${version}`, link: "/" },
        ],
        sidebar: [...guides, pages("Modules", "modules", modules), pages("Classes", "classes", classes)],
        outline: [2, 3],
        search: { provider: "local" },
    },
});
