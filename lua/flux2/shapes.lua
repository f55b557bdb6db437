--- All that flux2 knows, or expects, about the shapes and words of the service's answers. Data only.
-- The service documents the answer to a submission and the error body; the rest is what clients of this service and
-- of its neighbours see. A word or path that turns up tomorrow is added here and nowhere else.
-- Paths are dotted; a number is a place in an array, from 0; the first path with a usable value wins.

local shapes = {}

--- Status words, in lower case; a blank stands for a blank, a dash, an underscore or nothing.
--- A word that is not here counts as running.
shapes.words = {
    running = { "in progress", "pending", "queued", "processing", "submitted", "not start" },
    succeeded = {
        "success", "succeeded", "succeed", "successful", "completed", "complete", "ready", "done", "finished",
    },
    failed = {
        "failed", "failure", "fail", "error", "cancelled", "canceled", "timeout", "timed out", "aborted", "expired",
        "task failed", "generate failed", "create task failed",
    },
    moderated = {
        "request moderated", "content moderated", "moderated", "content filtered", "nsfw", "nsfw detected",
        "sensitive word error",
    },
    rejected = { "rejected", "content policy violation" },
}

shapes.task_id = {
    "data.task_id", "task_id", "data.taskId", "taskId", "data.id", "data.0.task_id", "data.0.taskId", "data.0.id",
    "data.task.task_id", "data.task.id", "output.task_id", "result.task_id", "id",
}

--- Those of the task's own before those of the envelope: {"status":"success","data":{"status":"running"}} is running.
shapes.status = {
    "data.status", "data.state", "data.task_status", "data.taskStatus", "data.0.status", "data.0.state",
    "data.task.status", "output.task_status", "result.status", "task_status", "status", "state",
}

shapes.progress = {
    "data.progress", "data.percent", "data.percentage", "data.progress_percent", "data.output.progress",
    "data.0.progress", "data.task.progress", "output.progress", "progress", "percent", "percentage",
}

--- Where pictures may lie. The value there is a string, an object with one of `picture_keys`, or an array of these.
--- The first place that yields any picture gives all of them.
shapes.picture_places = {
    "data.output", "data.result", "data.response", "data.results", "data.task_result", "data.task.output",
    "data.task.result", "data.0.output", "data.0.result", "data.info", "data.data", "data",
    "output", "result", "response", "results", "",
}

--- Places where the result is JSON in a string.
shapes.packed_places = { "data.resultJson", "data.result_json", "data.0.resultJson", "resultJson", "result_json" }

--- Members of an object that hold pictures; lists before single pictures, links before bytes.
shapes.picture_keys = {
    "images", "image_urls", "imageUrls", "urls", "result_urls", "resultUrls", "output_urls", "image_url", "imageUrl",
    "result_url", "resultUrl", "resultImageUrl", "output_url", "image", "url", "sample",
}
shapes.bytes_keys = { "b64_json", "b64", "base64", "image_base64" }
shapes.media_type_keys = { "content_type", "contentType", "mime_type", "mimeType" }

--- For an answer without a status: a non-empty *string* at one of these means that the task is finished.
shapes.finished = {
    "data.output.image_url", "data.output.images.0.url", "data.output.images.0", "data.output.image_urls.0",
    "data.output.0", "data.output.0.url", "data.output",
    "data.result.images.0.url", "data.result.images.0.url.0", "data.result.images.0", "data.result.image_url",
    "data.result.sample", "data.result.0", "data.result.0.url", "data.result",
    "data.images.0.url", "data.images.0", "data.image_urls.0", "data.image_url", "data.image", "data.url",
    "data.urls.0", "data.result_urls.0", "data.resultUrls.0", "data.response.result_urls.0",
    "data.response.resultUrls.0", "data.response.resultImageUrl", "data.resultJson", "data.result_json",
    "data.0.url", "data.0.url.0", "data.0.b64_json", "data.0.image_url",
    "output.image_url", "output.0", "output.0.url", "output", "result.images.0.url", "result.image_url",
    "result.sample", "result.0", "result.0.url", "images.0.url", "images.0", "image_urls.0", "image_url", "url",
}

--- A value here that is not null, false, 0, "" or empty means that the service refused the call.
shapes.refused = { "error" }

--- A number here, or digits, that is not one of `code_ok` means the same.
shapes.code = { "code" }
shapes.code_ok = { 200, 0, 201, 202 }

--- Why a task failed. Only strings count; those of `empty_words` say nothing.
shapes.reason = {
    "data.error.message", "data.error.msg", "data.error.detail", "data.error", "data.fail_reason", "data.failReason",
    "data.failMsg", "data.fail_msg", "data.error_message", "data.errorMessage", "data.error_msg", "data.reason",
    "data.output.error.message", "data.output.error", "data.result.error.message", "data.result.error",
    "data.0.error.message", "data.0.error", "data.0.fail_reason", "data.task.error.message", "data.task.error",
    "error.message", "error.msg", "error", "fail_reason", "failMsg", "error_message", "data.details", "details",
    "data.message", "data.msg", "message", "msg",
}
shapes.reason_code = {
    "data.error.code", "data.fail_code", "data.failCode", "data.error_code", "data.errorCode", "error.code",
    "error_code", "fail_code", "failCode",
}
shapes.reason_type = { "data.error.type", "error.type" }

--- Why a call was refused.
shapes.complaint = {
    "error.message", "error.msg", "error.detail", "error", "errors.0.message", "errors.0", "message", "msg", "detail",
    "detail.message", "detail.msg", "detail.error", "error_description", "error_message", "errorMessage",
    "data.error.message", "data.error", "data.message", "data.msg",
}
shapes.complaint_code = { "error.code", "code", "error_code", "errorCode", "detail.code", "data.error.code" }
shapes.complaint_type = { "error.type", "type", "detail.type", "data.error.type" }
shapes.request_id = { "request_id", "requestId", "error.request_id", "data.request_id" }
shapes.empty_words = { [""] = true, success = true, ok = true, null = true, none = true, ["true"] = true }

--- Credits that the task cost.
shapes.credits = {
    "data.credits_used", "data.creditsUsed", "data.credits_consumed", "data.creditsConsumed", "data.consume_credits",
    "data.consumeCredits", "data.credits_cost", "data.credit_cost", "data.usage.credits", "data.credits",
    "data.credit", "usage.credits", "credits_used", "credits",
}

--- What the text of a refusal gives away, in the order of asking: `words` are looked for in the code, the type and the
--- message, in lower case.
shapes.hints = {
    { kind = "moderated", words = { "moderat", "nsfw", "content filter", "content_filter", "sensitive content" } },
    {
        kind = "rejected",
        words = { "content policy", "content_policy", "policy violation", "policy_violation", "safety" },
    },
    {
        kind = "credits",
        words = {
            "insufficient_credit", "insufficient credit", "insufficient_quota", "insufficient_balance",
            "insufficient balance", "not enough credit", "out of credit",
        },
    },
}

--- Types and codes in words, where no number says it.
shapes.type_hints = {
    { kind = "auth", words = { "auth", "api_key", "permission", "forbidden" } },
    { kind = "rate_limited", words = { "rate_limit", "rate limit", "too_many", "too many" } },
    { kind = "not_found", words = { "not_found", "not found" } },
    { kind = "invalid_request", words = { "invalid", "validation", "bad_request" } },
    { kind = "server", words = { "server_error", "internal", "overloaded", "unavailable" } },
}

return shapes
