--- The guides, in the order in which they are read. A file docs/*.md that is not in here fails.
-- A leaf: a list.

return {
    "first-picture", "cli", "love", "neovim", "hosts", "thousands", "testing", "tester", "openai", "errors", "engine",
}
