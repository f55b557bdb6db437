# flux2 - build, test and install. `make help` lists what there is.
#
# Nothing is built into the source folders: everything lands in build/.
#   build/<lua>/flux2/core.so             the module for one Lua ABI (5.1 serves LuaJIT too)
#   build/<lua>/flux2/emulator/core.so    the emulator, a module of its own
#   build/<flavour>/<lua>/...             the same, instrumented (FLAVOUR=asan or tsan)

.DEFAULT_GOAL := all

PKG_CONFIG ?= pkg-config
PREFIX ?= /usr/local
VERSION := $(shell tools/version)

FLAVOUR ?=
BUILD := build$(if $(FLAVOUR),/$(FLAVOUR))

# --- which Luas are here -----------------------------------------------------------------------
# One name of pkg-config per ABI: the first that exists. LuaJIT has the ABI of 5.1.
first_pkg = $(firstword $(foreach p,$(1),$(if $(shell $(PKG_CONFIG) --exists $(p) 2>/dev/null && echo y),$(p))))
PKG_5.1 := $(call first_pkg,lua5.1 lua-5.1 lua51 luajit)
PKG_5.2 := $(call first_pkg,lua5.2 lua-5.2 lua52)
PKG_5.3 := $(call first_pkg,lua5.3 lua-5.3 lua53)
PKG_5.4 := $(call first_pkg,lua5.4 lua-5.4 lua54)
ABIS ?= $(strip $(foreach v,5.1 5.2 5.3 5.4,$(if $(PKG_$(v)),$(v))))
lua_cflags = $(shell $(PKG_CONFIG) --cflags $(PKG_$(1)))

# LuaRocks, and whoever else builds for one Lua, says where its headers are: `make LUA_INCDIR=...`
ifdef LUA_INCDIR
ABIS := 5.$(shell sed -n 's/^#define[ \t]*LUA_VERSION_NUM[ \t]*50//p' '$(LUA_INCDIR)/lua.h')
lua_cflags = -I'$(LUA_INCDIR)'
endif

# --- flags -------------------------------------------------------------------------------------
CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith -Wwrite-strings
CORE_PKGS := libcurl jansson
CURL_MIN := 7.85
EMU_PKGS := libmicrohttpd cairo
SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
SAN_tsan := -fsanitize=thread -O1
SAN_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
ALL_CFLAGS = -std=gnu11 -fPIC -fvisibility=hidden -pthread $(WARNINGS) $(CFLAGS) $(SAN_$(FLAVOUR)) $(EXTRA_CFLAGS)
ALL_LDFLAGS = -shared -pthread -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now $(SAN_$(FLAVOUR)) $(LDFLAGS)
CORE_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(CORE_PKGS) 2>/dev/null)
CORE_LIBS := $(or $(shell $(PKG_CONFIG) --libs $(CORE_PKGS) 2>/dev/null),-lcurl -ljansson)
EMU_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(EMU_PKGS) jansson 2>/dev/null)
EMU_LIBS := $(shell $(PKG_CONFIG) --libs $(EMU_PKGS) jansson 2>/dev/null)
HAVE_EMU := $(shell $(PKG_CONFIG) --exists $(EMU_PKGS) 2>/dev/null && echo y)

# The engine does not know Lua and is compiled once; a binding is compiled for each ABI.
BINDING := $(patsubst csrc/%.c,%,$(wildcard csrc/core*.c))
ENGINE_SRC := $(filter-out $(BINDING:%=csrc/%.c),$(wildcard csrc/*.c))
ENGINE_OBJ := $(ENGINE_SRC:%.c=$(BUILD)/obj/%.o)
EMU_BINDING := $(patsubst csrc/%.c,%,$(wildcard csrc/emulator/core*.c))
EMU_SRC := $(filter-out $(EMU_BINDING:%=csrc/%.c),$(wildcard csrc/emulator/*.c))
EMU_OBJ := $(EMU_SRC:%.c=$(BUILD)/obj/%.o)

MODULES := $(foreach v,$(ABIS),$(BUILD)/$(v)/flux2/core.so $(if $(HAVE_EMU),$(BUILD)/$(v)/flux2/emulator/core.so))

# An older libcurl would end in a compiler's riddle.
CURL_HERE := $(shell $(PKG_CONFIG) --modversion libcurl 2>/dev/null)
CURL_OLD := $(if $(CURL_HERE),$(shell $(PKG_CONFIG) --atleast-version=$(CURL_MIN) libcurl || echo y))
$(ENGINE_OBJ): $(if $(CURL_OLD),curl-too-old)
.PHONY: curl-too-old
curl-too-old:
	@echo "flux2 needs libcurl $(CURL_MIN) or newer; here is $(CURL_HERE)" >&2; exit 1

.PHONY: all
all: $(MODULES) ## builds the modules for each Lua whose headers are here
	@test -n "$(ABIS)" || { echo "no Lua headers found: see 'make deps'" >&2; exit 1; }

$(BUILD)/obj/csrc/emulator/%.o: csrc/emulator/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(EMU_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/obj/csrc/%.o: csrc/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CORE_CFLAGS) -MMD -MP -c $< -o $@

define abi_rules
$(BUILD)/obj/$(1)/%.o: csrc/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) $$(CORE_CFLAGS) $$(call lua_cflags,$(1)) -MMD -MP -c $$< -o $$@

$(BUILD)/$(1)/flux2/core.so: $(BINDING:%=$(BUILD)/obj/$(1)/%.o) $(ENGINE_OBJ)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) $$^ $$(CORE_LIBS) -ldl -o $$@

$(BUILD)/obj/$(1)/emulator/%.o: csrc/emulator/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) $$(EMU_CFLAGS) $$(call lua_cflags,$(1)) -MMD -MP -c $$< -o $$@

$(BUILD)/$(1)/flux2/emulator/core.so: $(EMU_BINDING:%=$(BUILD)/obj/$(1)/%.o) $(EMU_OBJ)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) $$^ $$(EMU_LIBS) -ldl -lm -o $$@
endef
$(foreach v,$(ABIS),$(eval $(call abi_rules,$(v))))

# --- programs that test -------------------------------------------------------------------------
# A fuzz target, with FLAVOUR=fuzz CC=clang (tools/fuzz): the engine, which knows no Lua, and one file of fuzz/.
FUZZERS := $(patsubst fuzz/%.c,build/fuzz/run/%,$(wildcard fuzz/*.c))
.PHONY: fuzzers
fuzzers: $(FUZZERS)

build/fuzz/watch.h: fuzz/watch.lua $(wildcard lua/flux2/*.lua)
	@mkdir -p $(@D)
	LUA_PATH="lua/?.lua;lua/?/init.lua;;" "$$(tools/find-lua)" fuzz/watch.lua >$@

build/fuzz/run/%: fuzz/%.c fuzz/fuzz.h build/fuzz/watch.h $(ENGINE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CORE_CFLAGS) -Ibuild/fuzz -fsanitize=fuzzer $< $(ENGINE_OBJ) $(CORE_LIBS) -ldl -lm -o $@

# A host whose allocator fails: alloc-host-5.4, alloc-host-luajit.
$(BUILD)/alloc-host-%: spec/support/alloc_host.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) $(SAN_$(FLAVOUR)) $< $$($(PKG_CONFIG) --cflags --libs $(or $(PKG_$*),$*)) -ldl -o $@

# What the benchmarks run: see bench/README.md.
.PHONY: bench-programs
bench-programs: build/bench/service build/bench/measure build/bench/tuned build/bench/paths \
    $(foreach v,$(filter 5.1 5.4,$(ABIS)),build/bench/$(v)/bench_meter.so)

build/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -O2 -g $< $(CORE_CFLAGS) $(CORE_LIBS) -o $@

build/bench/paths: bench/paths.c build/fuzz/watch.h $(ENGINE_OBJ)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -pthread $(WARNINGS) -O2 -g -Ibuild/fuzz $< $(ENGINE_OBJ) $(CORE_CFLAGS) $(CORE_LIBS) -ldl -lm -o $@

build/bench/%/bench_meter.so: bench/meter.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -O2 -g -fPIC -shared $< $(call lua_cflags,$*) -o $@

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# --- for people --------------------------------------------------------------------------------
# The targets below install what they need (tools/deps), then start make again: the libraries that a first
# make could not see are there by then.
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
PARALLEL = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))
AGAIN = $(MAKE) --no-print-directory -s $(PARALLEL)

# A machine that has LuaJIT and no Lua 5.4 need not install one to see the demo.
DEMO_LUA ?= $(if $(PKG_5.4),5.4,$(if $(shell command -v luajit),$(if $(PKG_5.1),luajit,5.4),5.4))
OUT ?= demo/garden.png

.PHONY: demo
demo: ## makes a picture: PROMPT="a red fox" OUT=fox.png; with FLUX2_API_KEY set, at the real service
	@tools/deps build emulator $(DEMO_LUA:5.4=lua5.4)
	+@$(AGAIN) all ABIS=$(DEMO_LUA:luajit=5.1)
	@mkdir -p "$$(dirname "$(OUT)")"
	@"$$(tools/find-lua $(DEMO_LUA))" examples/quickstart.lua "$$PROMPT" "$(OUT)"

RUNS ?= $(if $(LUA),$(LUA),lua5.4 luajit lua5.4:asan)
SPEC ?=
.PHONY: test
test: ## runs the specs on Lua 5.4, on LuaJIT, and under ASan and UBSan; LUA=luajit SPEC=spec/x_spec.lua for less
	@tools/deps build emulator lua5.4 luajit test hosts cli package
	+@MAKE="$(MAKE) $(PARALLEL)" tools/run-specs -s "$(SPEC)" $(RUNS)

.PHONY: test-all
test-all: ## runs the specs on Lua 5.1, 5.2, 5.3, 5.4 and LuaJIT
	@tools/deps build emulator all-luas test hosts cli package
	+@MAKE="$(MAKE) $(PARALLEL)" tools/run-specs -s "$(SPEC)" lua5.1 lua5.2 lua5.3 lua5.4 luajit

.PHONY: test-tsan
test-tsan: ## runs all specs under ThreadSanitizer: ten minutes
	+@TEST_TIMEOUT=3600 $(MAKE) --no-print-directory test RUNS=lua5.4:tsan

.PHONY: test-valgrind
test-valgrind: ## runs all specs in valgrind: an hour or more
	@tools/deps valgrind
	+@TEST_TIMEOUT=7200 $(MAKE) --no-print-directory test RUNS=lua5.4:valgrind

# OpenAI's SDK, which one spec runs against the emulator: no part of flux2. Without it that spec is pending.
.PHONY: openai-sdk
openai-sdk: build/openai-sdk/node_modules ## installs OpenAI's SDK for Node into build/, for spec/openai_sdk_spec.lua

build/openai-sdk/node_modules: $(addprefix spec/openai-sdk/,package.json package-lock.json .npmrc)
	@tools/deps openai
	@mkdir -p $(@D) && cp $^ $(@D)
	@cd $(@D) && npm ci --silent --no-audit --no-fund --no-update-notifier && touch node_modules

.PHONY: dist
dist: ## packs the source, build/dist/flux2-<version>.tar.gz: the same files give the same bytes
	@tools/dist

.PHONY: rock
rock: ## makes rocks for Lua 5.4 and LuaJIT, installs each into an empty tree and runs the quickstart from there
	@tools/deps build emulator lua5.4 luajit package
	@tools/rock

.PHONY: love
love: ## packs the gallery as a .love file, with what must lie beside it, into build/dist/love
	@tools/deps build emulator luajit package
	+@$(AGAIN) all ABIS=5.1
	@tools/love

# What drives the browser in the specs of the tester's page: no part of flux2.
build/browser/node_modules: $(addprefix spec/browser/,package.json package-lock.json .npmrc)
	@tools/deps browser
	@mkdir -p $(@D) && cp $^ $(@D)
	@cd $(@D) && npm ci --silent --ignore-scripts --no-audit --no-fund --no-update-notifier && touch node_modules

.PHONY: test-browser
test-browser: ## runs the specs of the tester's page in Chromium: LUA=luajit SPEC=spec/browser/x.spec.mjs for less
	@tools/deps build emulator lua5.4 luajit browser
	+@MAKE="$(MAKE) $(PARALLEL)" tools/run-browser -s "$(SPEC)" $(or $(LUA),lua5.4 luajit)

.PHONY: test-alloc
test-alloc: ## fails every single allocation of a generation in turn, not just some: minutes
	+@ALLOC_STEP=1 $(MAKE) --no-print-directory test SPEC="spec/alloc_failure_spec.lua spec/short_heap_spec.lua"

.PHONY: soak
soak: ## 20,000 tasks at a service in which everything breaks, then 100 kills with a spool: the books must agree
	@tools/deps build emulator lua5.4 test
	+@$(AGAIN) all ABIS=5.4
	@"$$(tools/find-lua 5.4)" tools/soak.lua $(or $(TASKS),20000) $(or $(SEED),1)
	+@SPOOL_ROUNDS=100 $(MAKE) --no-print-directory test LUA=lua5.4 SPEC=spec/spool_crash_spec.lua

.PHONY: fuzz
fuzz: ## feeds damaged answers to whatever reads them: FUZZ_SECONDS=60 for each target, 0 for the committed inputs only
	@tools/deps build lua5.4 fuzz
	+@MAKE="$(MAKE) $(PARALLEL)" tools/fuzz

BENCH ?= plain frames
.PHONY: bench
bench: ## measures beside others: BENCH="plain http2 large frames love memory leaving startup plots", see bench/README.md
	@tools/deps build emulator lua5.4 luajit bench
	+@$(AGAIN) all bench-programs
	@LUA="$$(tools/find-lua 5.4)" bench/run $(BENCH)

.PHONY: bench-check
bench-check: ## counts instructions; fails when a path has grown by more than 5 % beyond bench/budget.txt
	@tools/deps build lua5.4 luajit count
	+@$(AGAIN) all bench-programs ABIS="5.1 5.4"
	@LUA="$$(tools/find-lua 5.4)" bench/run check

.PHONY: lint
lint: ## reads the code: luacheck, clang-format, warnings as errors, cppcheck; and the documentation
	@tools/deps build emulator lua5.4 luajit lint
	+@MAKE="$(MAKE) $(PARALLEL)" tools/lint

.PHONY: docs
docs: ## builds the documentation's site: build/docs/index.html
	@tools/deps build emulator lua5.4 docs
	+@$(AGAIN) all ABIS=5.4
	@tools/docs/build

.PHONY: format
format: ## lays out the C code as lint demands
	@tools/deps lint
	clang-format -i $$(find csrc -name '*.[ch]')

.PHONY: deps
deps: ## installs what building and testing need
	@tools/deps build emulator lua5.4 luajit test hosts cli package lint docs

# --- installing --------------------------------------------------------------------------------
# For each Lua: what is written in Lua, and what is compiled. LuaRocks names both folders itself, and installs the
# program in its own way.
BINDIR ?= $(PREFIX)/bin
lua_dir = $(or $(INST_LUADIR),$(DESTDIR)$(PREFIX)/share/lua/$(1))
lib_dir = $(or $(INST_LIBDIR),$(DESTDIR)$(PREFIX)/lib/lua/$(1))

define install_abi
	@for file in $$(cd lua && find flux2 -type f); do \
	    install -d "$(call lua_dir,$(1))/$${file%/*}" && \
	    install -m 644 "lua/$$file" "$(call lua_dir,$(1))/$$file" || exit 1; \
	done
	@for file in $$(cd $(BUILD)/$(1) && find flux2 -name '*.so'); do \
	    install -d "$(call lib_dir,$(1))/$${file%/*}" && \
	    install -m 755 "$(BUILD)/$(1)/$$file" "$(call lib_dir,$(1))/$$file" || exit 1; \
	done
	@echo "flux2 $(VERSION) for Lua $(1): $(call lua_dir,$(1))/flux2 and $(call lib_dir,$(1))/flux2"

endef

.PHONY: install
install: all ## installs under PREFIX (/usr/local) for each Lua that it was built for; DESTDIR for packagers
	$(foreach v,$(ABIS),$(call install_abi,$(v)))
	$(if $(INST_LUADIR),,@tools/install-program "$(DESTDIR)" "$(PREFIX)" "$(BINDIR)" "$(BUILD)" $(ABIS))

.PHONY: uninstall
uninstall: ## removes what install made
	rm -rf $(foreach v,5.1 5.2 5.3 5.4,"$(call lua_dir,$(v))/flux2" "$(call lib_dir,$(v))/flux2")
	@tools/install-program --remove "$(DESTDIR)" "$(PREFIX)" "$(BINDIR)"

.PHONY: clean
clean: ## removes what was built
	rm -rf build

.PHONY: help
help: ## shows this
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
	    printf '  make %-10s %s\n' "$$name" "$$text"; done
