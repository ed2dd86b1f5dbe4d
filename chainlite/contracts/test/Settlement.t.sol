// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Clock} from "../src/Clock.sol";
import {Escrow} from "../src/Escrow.sol";
import {Settlement} from "../src/Settlement.sol";
import {Batch, Claim, Path, Split, Voucher} from "../src/Types.sol";
import {Rewards} from "../src/Rewards.sol";
import {SumTree} from "../src/SumTree.sol";
import {Book} from "./Helpers/Book.sol";
import {Scene} from "./Helpers/Scene.sol";

contract SettlementTest is Scene {
    /// @dev A first batch stands; the second is ready.
    function ready() internal returns (Batch memory previous, Batch memory b) {
        serve(aliceKey, true);
        serve(bobKey, false);
        book.closeAndSubmit();
        serve(aliceKey, false);
        uint64 n = book.close();
        return (book.batch(n - 1), book.header(n));
    }

    function expectRefusal(Batch memory previous, Batch memory b, bytes4 reason) internal {
        vm.prank(node);
        vm.expectPartialRevert(reason);
        settlement.submit(previous, b);
    }

    function test_the_figures_must_agree() public {
        (Batch memory previous, Batch memory good) = ready();
        Batch memory b = _copy(good);
        b.number++;
        expectRefusal(previous, b, Settlement.WrongNumber.selector);
        b = _copy(good);
        b.epoch++;
        expectRefusal(previous, b, Settlement.WrongEpoch.selector);
        b = _copy(good);
        b.firstSequence++;
        expectRefusal(previous, b, Settlement.WrongSequence.selector);
        b = _copy(good);
        b.count = 0;
        expectRefusal(previous, b, Settlement.EmptyBatch.selector);
        b = _copy(good);
        b.pendingTotal++;
        expectRefusal(previous, b, Settlement.PartsDoNotAddUp.selector);
        b = _copy(good);
        b.creditsTotal++;
        expectRefusal(previous, b, Settlement.CreditsDoNotAddUp.selector);
        b = _copy(good);
        b.settledCumulative++;
        expectRefusal(previous, b, Settlement.PartsDoNotAddUp.selector);
        b = _copy(good);
        b.claimsHash = 0;
        expectRefusal(previous, b, Settlement.NotWhatEscrowCollected.selector);
        b = _copy(good);
        (b.settledTotal, b.pendingTotal, b.settledCumulative) =
            (b.settledTotal + 1, b.pendingTotal + 1, b.settledCumulative + 1);
        expectRefusal(previous, b, Settlement.NotWhatEscrowCollected.selector);
        b = _copy(good);
        b.postingsCount = 0;
        expectRefusal(previous, b, Settlement.EmptyTreeNotZero.selector);
        b.postingsRoot = 0;
        expectRefusal(previous, b, Settlement.EmptyTreeNotZero.selector);
        b = _copy(good);
        b.creditsCount = 0;
        expectRefusal(previous, b, Settlement.EmptyTreeNotZero.selector);
        b.creditsRoot = 0;
        expectRefusal(previous, b, Settlement.EmptyTreeNotZero.selector);
        previous.pendingTotal++;
        expectRefusal(previous, good, Settlement.NotABatch.selector);
        expectRefusal(noBatch(), good, Settlement.NotABatch.selector);
        book.submit(good);
        expectRefusal(book.batch(2), good, Settlement.WrongNumber.selector);
    }

    function _copy(Batch memory b) private pure returns (Batch memory) {
        return abi.decode(abi.encode(b), (Batch));
    }

    function test_dirty_words_are_refused() public {
        (Batch memory previous, Batch memory b) = ready();
        bytes memory call = abi.encodeCall(Settlement.submit, (previous, b));
        // Word 19 + k of the arguments is field k of the new batch; the three that the contract sets are checked, too.
        uint8[13] memory fields = [0, 1, 2, 3, 4, 5, 8, 10, 11, 13, 14, 15, 16];
        for (uint256 i = 0; i < fields.length; i++) {
            bytes memory dirty = bytes.concat(call);
            dirty[4 + (19 + uint256(fields[i])) * 32] = 0x01;
            vm.prank(node);
            (bool ok,) = address(settlement).call(dirty);
            assertFalse(ok);
        }
        vm.prank(node);
        (bool clean,) = address(settlement).call(call);
        assertTrue(clean);
    }

    event Submitted(address indexed node, uint64 indexed number, Batch batch);

    function test_the_event_carries_the_header() public {
        (Batch memory previous, Batch memory b) = ready();
        Batch memory expected = _copy(b);
        (expected.node, expected.submittedAt) = (node, clock.time());
        expected.previous = settlement.batchAt(node, 1);
        b.node = carol; // ignored
        vm.expectEmit(address(settlement));
        emit Submitted(node, 2, expected);
        vm.prank(node);
        settlement.submit(previous, b);
        assertEq(settlement.batchAt(node, 2), keccak256(abi.encode(expected)));
    }

    function test_the_bond_must_cover_what_is_open() public {
        vm.prank(node);
        settlement.unbond(node, 10 ether - 1);
        serve(aliceKey, true);
        uint64 n = book.close();
        Batch memory b = book.header(n);
        expectRefusal(noBatch(), b, Settlement.BondTooSmall.selector);
        vm.prank(node);
        settlement.bond(node, MINIMUM_BOND - 1);
        book.submit(b);
        // A big batch needs more than the least bond, until it is final.
        book.serve(aliceKey, 300_000_000, 0, 1, false, 1); // over 0.9 ether
        book.serve(bobKey, 300_000_000, 0, 1, false, 1);
        n = book.close();
        b = book.header(n);
        Batch memory previous = book.batch(1);
        expectRefusal(previous, b, Settlement.BondTooSmall.selector);
        vm.prank(node);
        settlement.bond(node, 3 ether);
        book.submit(b);
        vm.prank(node);
        settlement.unbond(node, 3 ether);
        serve(aliceKey, true);
        n = book.close();
        b = book.header(n);
        previous = book.batch(2);
        expectRefusal(previous, b, Settlement.BondTooSmall.selector);
        pass(WINDOW);
        settlement.finalise(previous);
        book.submit(b);
    }

    function test_a_pause_stops_batches() public {
        (Batch memory previous, Batch memory b) = ready();
        vm.prank(guardian);
        clock.pause(1 days);
        expectRefusal(previous, b, Clock.ClockPaused.selector);
        pass(1 days);
        assertFalse(settlement.isFinal(previous), "the window stood still");
        book.submit(b);
        pass(WINDOW);
        assertTrue(settlement.isFinal(previous));
    }

    function test_finality() public {
        (, Batch memory b) = ready();
        book.submit(b);
        (Batch memory first, Batch memory second) = (book.batch(1), book.batch(2));
        settlement.requireOpen(first);
        pass(WINDOW - 1);
        vm.expectPartialRevert(Settlement.NotFinal.selector);
        settlement.finalise(first);
        pass(1);
        vm.expectRevert(Settlement.AlreadyFinal.selector);
        settlement.requireOpen(second);
        settlement.finalise(second);
        vm.expectRevert(Settlement.AlreadyFinalised.selector);
        settlement.finalise(first); // is final without a note of its own
        assertTrue(settlement.isFinal(first));
        first.bodyHash = 0;
        assertFalse(settlement.isFinal(first));
        vm.expectPartialRevert(Settlement.NotABatch.selector);
        settlement.requireFinal(first);
        Batch memory none;
        assertFalse(settlement.isFinal(none));
        vm.expectPartialRevert(Settlement.NotABatch.selector);
        settlement.requireStanding(none);
    }

    function test_not_more_open_batches_than_a_slash_can_void() public {
        serve(aliceKey, true);
        uint64 n = book.closeAndSubmit();
        Batch memory previous = book.batch(n);
        for (; n < 1024; n++) {
            vm.prank(node);
            settlement.submit(previous, _empty(previous));
            previous = _submitted(_empty(previous));
        }
        Batch memory next = _empty(previous);
        expectRefusal(previous, next, Settlement.TooManyOpenBatches.selector);
        // Voiding them all fits a transaction with room to spare.
        Batch memory first = book.batch(1);
        vm.prank(address(challenges));
        uint256 gas = gasleft();
        settlement.slash(node, noBatch(), first, carol);
        assertLt(gas - gasleft(), 8_000_000);
        assertEq(settlement.nodeOf(node).last, 0);
        assertEq(settlement.batchAt(node, 1024), 0);
    }

    /// @dev A batch of one failed answer: nothing settles, the data part of the one before is posted.
    function _empty(Batch memory previous) private pure returns (Batch memory b) {
        b = _copy(previous);
        (b.number, b.firstSequence, b.count) = (previous.number + 1, previous.firstSequence + previous.count, 1);
        (b.settledTotal, b.pendingTotal, b.postingsTotal) = (0, 0, previous.pendingTotal);
        b.creditsTotal += b.postingsTotal;
    }

    function _submitted(Batch memory b) private view returns (Batch memory) {
        (b.node, b.submittedAt, b.previous) = (node, clock.time(), settlement.batchAt(node, b.number - 1));
        return b;
    }

    // ---- owners and epochs ----

    function test_ownership_moves_in_two_steps() public {
        assertEq(settlement.ownerOf(node), node);
        vm.prank(carol);
        vm.expectPartialRevert(Settlement.OnlyOwnerOf.selector);
        settlement.offerNode(node, carol);
        vm.prank(node);
        settlement.offerNode(node, carol);
        vm.expectPartialRevert(Settlement.OnlyOwnerOf.selector);
        settlement.acceptNode(node);
        vm.prank(carol);
        settlement.acceptNode(node);
        assertEq(settlement.ownerOf(node), carol);
        vm.startPrank(node);
        vm.expectPartialRevert(Settlement.OnlyOwnerOf.selector);
        settlement.openEpoch(node, noBatch());
        vm.expectPartialRevert(Settlement.OnlyOwnerOf.selector);
        settlement.unbond(node, 1);
        vm.expectPartialRevert(Settlement.OnlyOwnerOf.selector);
        settlement.withdrawBond(node);
        vm.stopPrank();
        book.openEpoch(); // as carol
        vm.prank(carol);
        vm.expectPartialRevert(Settlement.OnlyOwnerOf.selector);
        settlement.acceptNode(node); // an offer is good once
    }

    function test_a_node_without_an_epoch_submits_nothing() public {
        Batch memory b;
        b.number = 1;
        vm.prank(carol);
        vm.expectRevert(Settlement.NoOpenEpoch.selector);
        settlement.submit(noBatch(), b);
    }

    function test_a_new_epoch_restarts_sequence_credits_and_pending() public {
        ready();
        book.openEpoch(); // the second batch's claim is refunded
        assertEq(escrow.collectionOf(node).collected, book.batch(1).settledCumulative);
        assertEq(escrow.refundCount(node), 1);
        Book.Served[] memory lost = book.receipts(2);
        escrow.refund(node, 0, book.batch(1).claimsHash, abi.encodePacked(alice, lost[0].settled));
        serve(aliceKey, true);
        uint64 n = book.closeAndSubmit();
        Batch memory b = book.batch(n);
        assertEq(b.number, 2);
        assertEq(b.epoch, 2);
        assertEq(b.firstSequence, 1);
        assertEq(b.creditsTotal, b.postingsTotal);
        // Without claims there is nothing to refund.
        book.openEpoch();
        assertEq(escrow.refundCount(node), 1);
        vm.prank(node);
        vm.expectPartialRevert(Settlement.NotABatch.selector);
        settlement.openEpoch(node, noBatch());
    }

    function test_overdue_claims_are_refunded_by_anyone() public {
        (Batch memory first,) = ready();
        uint128 settled = book.receipts(2)[0].settled;
        pass(CLAIMS - 1);
        vm.expectRevert(Settlement.ClaimsNotOverdue.selector);
        settlement.refundOverdue(node, first);
        pass(1);
        vm.expectPartialRevert(Settlement.NotABatch.selector);
        settlement.refundOverdue(node, noBatch());
        settlement.refundOverdue(node, first);
        escrow.refund(node, 0, first.claimsHash, abi.encodePacked(alice, settled));
        vm.expectRevert(Settlement.ClaimsNotOverdue.selector);
        settlement.refundOverdue(node, first);
    }

    // ---- bonds ----

    function test_unbonding() public {
        vm.startPrank(node);
        vm.expectRevert(Settlement.ZeroAmount.selector);
        settlement.bond(node, 0);
        vm.expectRevert(Settlement.ZeroAmount.selector);
        settlement.unbond(node, 0);
        vm.expectRevert(Settlement.ZeroAmount.selector);
        settlement.withdrawBond(node);
        vm.expectPartialRevert(Settlement.BondTooSmall.selector);
        settlement.unbond(node, 10 ether + 1);
        settlement.unbond(node, 3 ether);
        pass(UNBOND - 1);
        vm.expectPartialRevert(Settlement.NotReady.selector);
        settlement.withdrawBond(node);
        settlement.unbond(node, 1 ether); // starts the time again for all
        pass(1);
        vm.expectPartialRevert(Settlement.NotReady.selector);
        settlement.withdrawBond(node);
        pass(UNBOND);
        settlement.withdrawBond(node);
        assertEq(asset.balanceOf(node), 94 ether);
        assertEq(settlement.nodeOf(node).bond, 6 ether);
        assertEq(settlement.unbondingOf(node).amount, 0);
    }

    function test_what_is_unbonding_is_slashed_with_the_rest() public {
        vm.prank(node);
        settlement.unbond(node, 9 ether);
        vm.expectRevert(Settlement.OnlyChallenges.selector);
        settlement.slash(node, noBatch(), noBatch(), carol);
        vm.prank(address(challenges));
        settlement.slash(node, noBatch(), noBatch(), carol);
        assertEq(asset.balanceOf(carol), 105 ether);
        assertEq(asset.balanceOf(address(settlement)), 0);
        pass(UNBOND);
        vm.prank(node);
        vm.expectRevert(Settlement.ZeroAmount.selector);
        settlement.withdrawBond(node);
    }

    function test_a_slashed_node_starts_again() public {
        (, Batch memory b) = ready();
        book.submit(b);
        Batch memory first = book.batch(1);
        vm.prank(address(challenges));
        settlement.slash(node, noBatch(), first, carol);
        vm.prank(node);
        vm.expectRevert(Settlement.NoOpenEpoch.selector);
        settlement.submit(noBatch(), b);
        book.openEpoch();
        bond(node, 10 ether);
        serve(aliceKey, true);
        assertEq(book.closeAndSubmit(), 1);
        assertEq(book.batch(1).previous, 0);
    }

    function test_unbonding_outlasts_the_window() public {
        vm.expectRevert(Settlement.UnbondingTooShort.selector);
        new Settlement(escrow, address(challenges), address(attribution), WINDOW, WINDOW, CLAIMS, 0);
    }
}
