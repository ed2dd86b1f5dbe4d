// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Batch, Credit, Posting} from "../src/Types.sol";
import {Scene} from "./Helpers/Scene.sol";

/// @title One node, two payers: deposit, claim, submit, finality, reward, refund, withdrawal.
contract MoneyTest is Scene {
    function test_a_batch_from_deposit_to_reward() public {
        book.serve(aliceKey, 1000, 200, 300, false, 1);
        book.serve(bobKey, 500, 0, 100, true, 2);
        book.serve(aliceKey, 50, 0, 0, true, 4);
        uint64 n = book.closeAndSubmit();
        assertEq(n, 1);
        Batch memory b = book.batch(n);
        assertGt(b.settledTotal, 0);
        vm.warp(block.timestamp + WINDOW);
        settlement.finalise(b);
        Credit[] memory credits = book.credits(n);
        uint256 paid;
        for (uint256 i = 0; i < credits.length; i++) {
            uint256 before = asset.balanceOf(credits[i].beneficiary);
            rewards.claim(b, credits[i].beneficiary, credits[i].cumulative, book.creditPath(n, i));
            assertEq(asset.balanceOf(credits[i].beneficiary) - before, credits[i].cumulative);
            paid += credits[i].cumulative;
        }
        assertEq(paid + b.pendingTotal, b.settledTotal);
        assertEq(asset.balanceOf(address(escrow)), 20 ether - paid);
    }

    function test_a_second_batch_carries_over() public {
        book.serve(aliceKey, 1000, 200, 300, true, 1);
        book.closeAndSubmit();
        book.serve(bobKey, 1000, 200, 300, true, 1);
        book.serve(aliceKey, 1, 0, 1, false, 1);
        uint64 n = book.closeAndSubmit();
        assertEq(n, 2);
        assertEq(book.batch(2).firstSequence, 2);
        Posting[] memory postings = book.postings(2);
        uint256 data;
        for (uint256 i = 0; i < postings.length; i++) if (postings[i].role == 3) data += postings[i].amount;
        assertEq(data, book.batch(1).pendingTotal);
    }
}
