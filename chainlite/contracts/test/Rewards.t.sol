// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Rewards} from "../src/Rewards.sol";
import {Settlement} from "../src/Settlement.sol";
import {SumTree} from "../src/SumTree.sol";
import {Batch, Credit, Path, Split} from "../src/Types.sol";
import {Scene} from "./Helpers/Scene.sol";

contract RewardsTest is Scene {
    function setUp() public override {
        super.setUp();
        serve(aliceKey, true);
        serve(bobKey, false);
        book.closeAndSubmit();
        serve(aliceKey, true);
        book.closeAndSubmit();
    }

    function claim(uint64 n, address who) internal returns (uint128 cumulative) {
        uint256 i = firstCredit(n, who);
        cumulative = book.credits(n)[i].cumulative;
        Path memory path = book.creditPath(n, i);
        rewards.claim(book.batch(n), who, cumulative, path);
    }

    function test_only_final_batches_pay_and_only_what_is_new() public {
        Credit memory c = book.credits(1)[0];
        (Batch memory b, Path memory path) = (book.batch(1), book.creditPath(1, 0));
        vm.expectPartialRevert(Settlement.NotFinal.selector);
        rewards.claim(b, c.beneficiary, c.cumulative, path);
        pass(WINDOW);
        uint128 first = claim(1, modelOwner);
        assertEq(asset.balanceOf(modelOwner), first);
        (b, path) = (book.batch(1), book.creditPath(1, firstCredit(1, modelOwner)));
        vm.expectRevert(Rewards.NothingNew.selector);
        rewards.claim(b, modelOwner, first, path);
        vm.expectRevert(SumTree.NotInTree.selector);
        rewards.claim(b, modelOwner, first + 1, path);
        uint128 second = claim(2, modelOwner);
        assertEq(asset.balanceOf(modelOwner), second);
        assertEq(rewards.claimedOf(node, 1, modelOwner), second);
        assertEq(rewards.paidOf(node, 1).paid, second);
        assertEq(rewards.paidOf(node, 1).cap, book.batch(2).creditsTotal);
    }

    function test_batches_may_be_claimed_in_any_order() public {
        pass(WINDOW);
        claim(2, adapterOwner);
        claim(1, modelOwner);
        claim(2, node);
        claim(1, validatorsPool);
        claim(2, validatorsPool);
        claim(2, modelOwner);
        claim(2, unattributedPool);
        assertEq(rewards.paidOf(node, 1).paid, book.batch(2).creditsTotal);
    }

    function test_payouts_go_where_the_beneficiary_says() public {
        pass(WINDOW);
        vm.prank(modelOwner);
        rewards.setPayout(carol);
        uint128 amount = claim(1, modelOwner);
        assertEq(asset.balanceOf(carol), 100 ether + amount);
        vm.prank(modelOwner);
        rewards.setPayout(address(0));
        assertEq(rewards.payoutOf(modelOwner), modelOwner);
    }

    /// @dev Nobody challenged a node that moved credits from one beneficiary to another: the epoch pays no more for it.
    function test_an_unchallenged_fraud_creates_nothing() public {
        serve(bobKey, true);
        uint64 n = book.close();
        Credit[] memory list = book.credits(n);
        (uint256 from, uint256 to) = (firstCredit(n, modelOwner), firstCredit(n, node));
        list[to].cumulative += list[from].cumulative - 1;
        list[from].cumulative = 1;
        book.setCredits(n, list);
        book.submit(book.header(n));
        pass(WINDOW);
        claim(2, modelOwner);
        claim(3, adapterOwner);
        claim(3, validatorsPool);
        claim(3, unattributedPool);
        (Batch memory b, Path memory path) = (book.batch(3), book.creditPath(3, to));
        vm.expectPartialRevert(Rewards.OverEpoch.selector);
        rewards.claim(b, node, list[to].cumulative, path);
    }

    // ---- sweeping ----

    function test_pending_of_an_old_epoch_goes_to_the_pool() public {
        (Batch memory last, Batch memory none) = (book.batch(2), noBatch());
        vm.expectPartialRevert(Settlement.NotFinal.selector);
        rewards.sweep(last, none, split);
        pass(WINDOW);
        vm.expectRevert(Rewards.EpochStillOpen.selector);
        rewards.sweep(last, none, split);
        Batch memory first = book.batch(1);
        vm.expectRevert(Rewards.EpochStillOpen.selector);
        rewards.sweep(first, last, split); // its pending went on into the second
        book.openEpoch();
        vm.expectRevert(Rewards.EpochStillOpen.selector);
        rewards.sweep(first, last, split);
        Split memory own = split;
        own.unattributedPool = node;
        vm.expectPartialRevert(Rewards.NotASplit.selector);
        rewards.sweep(last, none, own);
        rewards.sweep(last, none, split);
        assertEq(asset.balanceOf(unattributedPool), last.pendingTotal);
        assertTrue(rewards.isSwept(node, 1));
        vm.expectRevert(Rewards.AlreadySwept.selector);
        rewards.sweep(last, none, split);
    }

    function test_the_next_batch_shows_that_the_epoch_is_over() public {
        book.openEpoch();
        serve(aliceKey, true);
        book.closeAndSubmit();
        pass(WINDOW);
        (Batch memory last, Batch memory next) = (book.batch(2), book.batch(3));
        Batch memory first = book.batch(1);
        vm.expectRevert(Rewards.EpochStillOpen.selector);
        rewards.sweep(last, first, split);
        Batch memory none;
        vm.expectPartialRevert(Settlement.NotABatch.selector);
        rewards.sweep(last, none, split);
        rewards.sweep(last, next, split);
        assertEq(asset.balanceOf(unattributedPool), last.pendingTotal);
    }

    function test_a_slash_ends_an_epoch_too() public {
        pass(WINDOW);
        Batch memory last = book.batch(2);
        vm.prank(address(challenges));
        settlement.slash(node, last, noBatch(), carol);
        rewards.sweep(last, noBatch(), split);
        assertEq(asset.balanceOf(unattributedPool), last.pendingTotal);
    }

    function test_nothing_pending_is_no_sweep() public {
        book.serve(aliceKey, 10, 0, 0, true, 4); // failed: the batch settles nothing, the pending part is posted
        book.closeAndSubmit();
        book.openEpoch();
        pass(WINDOW);
        (Batch memory last, Batch memory none) = (book.batch(3), noBatch());
        assertEq(last.pendingTotal, 0);
        vm.expectRevert(Rewards.NothingNew.selector);
        rewards.sweep(last, none, split);
    }
}
