# shellcheck shell=bash
# needs: release chain python model
# Billing under faults: killed daemons, full disks, lying endpoints, reorganised chains. --long repeats each many times.

for script in tests/fault/test_*.py; do
    check_beside "$(basename "$script" .py)" python -m pytest -q -p no:cacheprovider "$script"
done
