--- API in One, the default provider; see flux2.provider.
-- Its documentation describes the submission with its response, the error body and the prices, but no finished task.
-- Therefore responses are read by the schema in flux2.provider.common.

return {
    name = "apiin",
    base_url = "https://apiin.one",
    root = "/api/v1",
    environment = { api_key = "FLUX2_API_KEY", base_url = "FLUX2_BASE_URL" },
    key_prefix = "aio_",
    headers = { "Authorization: Bearer {key}" },
    routes = { submit = "/images/generations", task = "/tasks/{id}" },
    fields = {
        {
            name = "model", type = "word", allowed = { "flux-2" }, default = "flux-2", always = true,
            meaning = "the model; filled in for you",
        },
        {
            name = "prompt", type = "text", required = true, min = 3, max = 5000,
            meaning = "the description of the image: 3 to 5000 characters", also = { "text", "description" },
        },
        {
            name = "aspect_ratio", type = "ratio", default = "1:1", auto = "input_urls",
            meaning = "width to height, such as 1:1, 16:9 or 9:16; auto: that of the input images",
            also = { "ratio", "aspect", "size" },
        },
        {
            name = "type", type = "word", allowed = { "pro", "flex" }, default = "pro",
            meaning = "pro: higher quality; flex: faster and cheaper", also = { "mode", "quality" },
        },
        {
            name = "resolution", type = "word", allowed = { "1K", "2K" }, default = "1K",
            meaning = "1K or 2K",
        },
        {
            name = "input_urls", type = "urls", max = 8,
            meaning = "URLs of images to start from, at most 8",
            also = { "image_url", "image_urls", "images", "image", "urls", "url" },
        },
    },
    prices_source = "https://apiin.one, read on 2026-11-28",
    -- Approximate, according to the documentation, which contains no price for flex at 2K.
    prices = {
        { type = "pro", resolution = "1K", credits = 10 },
        { type = "pro", resolution = "2K", credits = 20 },
        { type = "flex", resolution = "1K", credits = 6 },
    },
}
