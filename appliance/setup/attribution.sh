# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of those who source this
# The data behind the demo's adapters: Datanets, policies, and who earned what. Needs devnet.sh and its variables.
#
# Contributors' vectors and the calibration take minutes to compute (openlora attribution vectors, calibrate); they depend
# on model, adapter and texts alone, so they are kept in appliance/demo/attribution and checked against the policy.

POLICIES=$OPENLORA_ROOT/build/demo/policies
DATANETS=$OPENLORA_ROOT/build/demo/datanets
FIRST_CONTRIBUTOR=0x70997970C51812dc3A010C7d01b50e0d17dc79C8 # account 1 of the local chain; 2, 3 and 4 are others

chain_place() { # where what is published goes, as options
    if [ "$chain" -eq 1 ]; then
        printf '%s\n' --chain "$CHAIN_FILE" --rpc "$CHAIN_URL"
    else
        printf '%s\n' --offline
    fi
}

datanets_publish() {
    local place
    mapfile -t place < <(chain_place)
    appliance/demo/datanets "$DATANETS" "${place[@]}" --catalog "$DEMO/state/catalog.json"
}

policies_make() {
    local name place
    mapfile -t place < <(chain_place)
    for name in $(demo_adapters); do
        mkdir -p "$POLICIES/$name"
        cp appliance/demo/attribution/"$name"/* "$POLICIES/$name"
        build/openlora attribution index --model "$model" --datanet "$DATANETS/$name.export" --out "$POLICIES/$name"
        build/openlora attribution policy --out "$POLICIES/$name" --of "$name" --catalog "$DEMO/state/catalog.json" \
            "${place[@]}" --dev-account
    done
}

# A bill's text with its spans, and every contributor's share. Its data part is posted by the node's next batch, so one
# more answer is asked for before a contributor can be paid.
attribution_show() { # RECEIPT
    local waited
    printf '\n── whose data\n'
    for ((waited = 0; waited < PATIENCE_S; waited++)); do # on a busy machine idle time may not come
        build/openlora wallet attribution "$1" --json | grep -q '"gradients":"waiting"' || break
        sleep 1
    done
    build/openlora chat --wallet --chain "$CHAIN_FILE" --max-tokens 40 --json "Thank you." >"$DEMO/next.json"
    await "$PATIENCE_S" "the data part was not settled; see build/demo/chainlited.log" all_anchored
    build/openlora wallet attribution "$1"
    build/openlora wallet receipt "$(receipt_of "$DEMO/next.json")" >"$DEMO/next-bundle.json"
    await "$PATIENCE_S" "the batch's window did not pass; see build/demo/anvil.log" window_passed "$DEMO/next-bundle.json"
    build/openlora chain claim "$DEMO/next-bundle.json" --for "$FIRST_CONTRIBUTOR" --chain "$CHAIN_FILE" \
        --rpc "$CHAIN_URL" --dev-account || die "the contributor's part could not be claimed"
    printf '\n── contributor %s\n' "$FIRST_CONTRIBUTOR"
    build/openlora contributor "$FIRST_CONTRIBUTOR" --claims --chain "$CHAIN_FILE" --rpc "$CHAIN_URL"
}
