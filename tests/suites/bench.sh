# shellcheck shell=bash
# needs: release model
# A coarse guard: speed that is off by a factor fails, noise does not. The real figures: tests/bench/cpu.

bench_is_at_least() { # DECODE_TOKENS_PER_SECOND OPTION…
    local least=$1 out tries
    shift
    for tries in 1 2 3 4 5; do # what else the machine does only makes it slower
        out=$(build/openlora bench --model "$DEFAULT_MODEL" --prompt 512 --gen 32 --json "$@")
        echo "$tries: $out"
        if python3 -c 'import json, sys; sys.exit(json.loads(sys.argv[1])["decode_tok_s"] < float(sys.argv[2]))' "$out" "$least"; then
            return 0
        fi
    done
    return 1
}

check "decode 1" bench_is_at_least 40 --seqs 1
check "decode 8" bench_is_at_least 100 --seqs 8
check "decode 8 on two adapters" bench_is_at_least 90 --seqs 8 --adapter appliance/demo/adapters/*
