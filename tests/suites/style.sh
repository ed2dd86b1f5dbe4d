# shellcheck shell=bash
# The house rules that a script can see.

check "sources" python3 tests/style.py
mapfile -t shell_scripts < <(git ls-files | grep -v '^shared/' | xargs -r grep -lE '^#!.*(bash|/sh)|^# shellcheck shell=')
check "shellcheck" shellcheck "${shell_scripts[@]}"
