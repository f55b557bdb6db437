@echo off
rem flux2 - the command line, on the luajit.exe beside flux2\core.dll, or in the PATH.
setlocal
set "lua=luajit.exe"
if exist "%~dp0..\%lua%" set "lua=%~dp0..\%lua%"
"%lua%" "%~dp0flux2" %*
