// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Batch, Claim, Path, Voucher} from "../src/Types.sol";
import {console} from "forge-std/console.sol";
import {Scene} from "./Helpers/Scene.sol";

/// @title What settling costs, whole transactions with their base and call data: the bounds of the design.
/// @dev In isolation every call of a test is a transaction of its own, so all slots are cold and intrinsic gas counts.
contract GasTest is Scene {
    uint256 internal constant RECEIPTS = 8192;
    uint256 internal constant PAYERS = 12;

    uint256[] internal keys;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < PAYERS; i++) {
            (address payer, uint256 key) = makeAddrAndKey(string.concat("payer ", vm.toString(i)));
            keys.push(key);
            fund(payer, 10 ether);
            deposit(payer, node, 10 ether);
        }
    }

    /// @dev Claims of figures and hashes as large as real ones: nearly all bytes of the call data are non-zero.
    function chunk(uint256 from, uint256 n, uint128 amount) internal view returns (Claim[] memory claims) {
        claims = new Claim[](n);
        for (uint256 i = 0; i < n; i++) {
            address payer = vm.addr(keys[from + i]);
            (, uint128 claimed) = escrow.accountOf(payer, node);
            Voucher memory v = Voucher(payer, node, claimed + amount, keccak256(abi.encode(from + i, claimed)));
            bytes memory signature = book.signWith(keys[from + i], book.voucherDigest(v));
            claims[i] = Claim(payer, amount, v.ceiling, v.requestHash, signature);
        }
    }

    function claimGas(Claim[] memory claims) internal returns (uint256) {
        vm.prank(node);
        uint256 accepted = escrow.claim(claims);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        assertEq(accepted, claims.length);
        return used;
    }

    /// @dev A header over `settled` like that of 8,192 receipts; the contract sees no more of the trees.
    function nextBatch(Batch memory previous, uint128 settled) internal view returns (Batch memory b) {
        b.number = previous.number + 1;
        (b.epoch, b.count) = (1, uint32(RECEIPTS));
        b.firstSequence = previous.number == 0 ? 1 : previous.firstSequence + previous.count;
        b.receiptsRoot = keccak256(abi.encode("receipts", b.number));
        b.postingsRoot = keccak256(abi.encode("postings", b.number));
        b.creditsRoot = keccak256(abi.encode("credits", b.number));
        (b.postingsCount, b.creditsCount) = (40_000, 300);
        b.settledTotal = settled;
        b.pendingTotal = settled * 3 / 10;
        b.postingsTotal = settled + previous.pendingTotal - b.pendingTotal;
        b.creditsTotal = previous.creditsTotal + b.postingsTotal;
        b.settledCumulative = previous.settledCumulative + settled;
        b.claimsHash = escrow.collectionOf(node).claimsHash;
        b.bodyHash = sha256(abi.encode(b.number));
    }

    function submitGas(Batch memory previous, Batch memory b) internal returns (uint256 used) {
        vm.prank(node);
        settlement.submit(previous, b);
        used = vm.lastCallGas().gasTotalUsed;
        b.node = node;
        b.submittedAt = clock.time();
        b.previous = settlement.batchAt(node, b.number - 1);
    }

    /// forge-config: default.isolate = true
    function test_gas_of_a_batch_and_its_claims() public {
        uint128 amount = 123_456_789_012_345_678;
        Batch memory previous;
        for (uint256 round = 0; round < 2; round++) {
            claimGas(chunk(0, PAYERS, amount));
            Batch memory next = nextBatch(previous, uint128(PAYERS * amount));
            submitGas(previous, next);
            previous = next;
        }
        uint256 claims = claimGas(chunk(0, PAYERS, amount));
        Batch memory b = nextBatch(previous, uint128(PAYERS * amount));
        uint256 submit = submitGas(previous, b);
        console.log("submit", submit);
        console.log("a claim again in a chunk of 12", claims / PAYERS);
        console.log("per receipt, thousandths", (claims + submit) * 1000 / RECEIPTS);
        assertLe(submit, 95_000);
        assertLe(claims / PAYERS, 19_500);
        assertLe(claims + submit, 50 * RECEIPTS);
        vm.warp(vm.getBlockTimestamp() + WINDOW);
        settlement.finalise(b);
        console.log("finalise", vm.lastCallGas().gasTotalUsed);
    }

    /// forge-config: default.isolate = true
    function test_gas_of_first_claims() public {
        uint128 amount = 123_456_789_012_345_678;
        claimGas(chunk(0, 1, amount)); // the node's own slots are in use before
        uint256 first = claimGas(chunk(1, 1, amount));
        uint256 chunked = claimGas(chunk(2, 10, amount));
        console.log("a first claim in a transaction of its own", first);
        console.log("a first claim in a chunk of 10", chunked / 10);
        assertLe(first, 62_000); // with the 21,000 of a transaction and the node's slots
        assertLe(chunked / 10, 37_000);
    }

    /// forge-config: default.isolate = true
    function test_gas_of_rewards() public {
        serve(aliceKey, true);
        serve(bobKey, false);
        uint64 n = book.closeAndSubmit();
        Batch memory b = book.batch(n);
        vm.warp(vm.getBlockTimestamp() + WINDOW);
        (address beneficiary, uint128 cumulative) = (book.credits(n)[0].beneficiary, book.credits(n)[0].cumulative);
        Path memory path = book.creditPath(n, 0);
        rewards.claim(b, beneficiary, cumulative, path);
        console.log("a first reward", vm.lastCallGas().gasTotalUsed);
        assertLe(vm.lastCallGas().gasTotalUsed, 200_000);
    }
}
