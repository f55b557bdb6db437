--- The build that the specs test, and what instruments it: tools/run-specs names the flavour in the environment.
local flavour = os.getenv "FLUX2_TEST_FLAVOUR" or ""
local build = { is_in_valgrind = flavour == "valgrind", is_sanitized = flavour:find "^[at]san$" ~= nil }

--- "asan", "tsan", "generic", "arm64", "wine"; "": what `make` builds.
build.flavour = build.is_in_valgrind and "" or flavour

--- Both have a heap of their own, and take several times as long.
build.is_instrumented = build.is_sanitized or build.is_in_valgrind

return build
