-- version.lua - the one place that says which version this is.
--
-- Owns: the version number. The Makefile reads it from here too.
-- Never: anything else, so that reading it loads nothing.

local M = {}

M._VERSION = "0.1.0"

return M
