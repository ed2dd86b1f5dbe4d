# shellcheck shell=bash
# needs: release asan tsan
# The Check programs of tests/unit, in every build.

check_ctest release build
check_ctest asan build/asan
check_ctest tsan build/tsan
