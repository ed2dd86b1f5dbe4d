# shellcheck shell=bash
# needs: release asan tsan
# The Check programs of tests/unit, in every build.

check_ctest release build unit
check_ctest asan build/asan unit
check_ctest tsan build/tsan unit
