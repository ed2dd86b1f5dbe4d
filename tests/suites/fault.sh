# shellcheck shell=bash
# needs: release chain python model
# Billing under faults: killed daemons, full disks, lying endpoints, reorganised chains. --long repeats each many times.

# One more at a time than elsewhere: most of them wait.
for script in tests/fault/test_*.py; do
    JOBS=$((JOBS + 1)) check_beside "$(basename "$script" .py)" python -m pytest -q -p no:cacheprovider "$script"
done
